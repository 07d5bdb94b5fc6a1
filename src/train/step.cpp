#include "step.h"

#include <ATen/CPUGeneratorImpl.h>
#include <torch/types.h>

#include <cmath>

#include "precis/core/interrupt.h"

namespace precis {
namespace {

// Adds zero gradients for parameters that have a gradient in another process only.
void fill_missing(std::vector<Tensor>& gradients, const std::vector<Tensor>& parameters, const ProcessGroup& group) {
  if (group.size() == 1) return;
  std::vector<double> present;
  for (const auto& gradient : gradients) present.push_back(gradient.defined() ? 1 : 0);
  present = group.sum(present);
  for (size_t i = 0; i < gradients.size(); ++i) {
    if (!gradients[i].defined() && present[i] > 0) gradients[i] = torch::zeros_like(parameters[i]).detach();
  }
}

// to += factor * from, for every gradient.
void add_gradients(std::vector<Tensor>& to, const std::vector<Tensor>& from, double factor) {
  const at::NoGradGuard no_gradient;
  if (to.empty()) to.resize(from.size());
  std::vector<Tensor> first, sums, more;
  for (size_t i = 0; i < from.size(); ++i) {
    if (!from[i].defined()) continue;
    if (!to[i].defined()) {
      first.push_back(to[i] = from[i]);
    } else {
      sums.push_back(to[i]);
      more.push_back(from[i]);
    }
  }
  if (!first.empty()) at::_foreach_mul_(first, factor);
  if (!sums.empty()) at::_foreach_add_(sums, more, factor);
}

}  // namespace

StepWork WorkQueue::prepare(size_t stage, int64_t step) const {
  const auto seed = static_cast<uint64_t>(config_.run.seed);
  const TrainConfig& t = config_.train;
  const int64_t first = group_.rank() * t.batch / group_.size(), end = (group_.rank() + 1) * t.batch / group_.size(),
                micro = t.micro_batch > 0 ? t.micro_batch : t.batch;
  StepWork work{objectives_of(stages_[stage].settings.objectives, seed, step), {}};
  for (const auto& objective : work.objectives) {
    work.examples.emplace_back();
    for (int64_t place = first; place < end; place += micro) {
      const bool whole = first == 0 && end == t.batch && micro >= t.batch;  // then a batch without targets is an error
      auto example = stages_[stage].data->batch(seed, step, t.batch, objective.task, place,
                                                whole ? -1 : std::min(micro, end - place));
      if (example.tokens > 0) work.examples.back().push_back(std::move(example));
    }
  }
  return work;
}

StepWork WorkQueue::take(size_t stage, int64_t step, bool prepare_next) {
  const bool ready = next_.valid() && next_step_ == step && next_stage_ == stage;
  StepWork work = ready ? next_.get() : prepare(stage, step);
  if (prepare_next) {
    next_stage_ = stage;
    next_step_ = step + 1;
    next_ = std::async(std::launch::async, [this, stage, step] { return prepare(stage, step + 1); });
  }
  return work;
}

bool StepResult::finite() const { return std::isfinite(loss) && std::isfinite(gradient_norm); }

StepResult compute_gradients(Learner& learner, AdamW& optimizer, const StepWork& work, const ObjectiveConfig& settings,
                             uint64_t dropout_seed, double clip, const ProcessGroup& group, StepSeconds& seconds) {
  Stopwatch watch;
  learner.set_dropout_generator(at::detail::createCPUGenerator(dropout_seed));
  std::vector<Tensor> gradients;
  StepResult out;
  double weights = 0;
  for (const auto& objective : work.objectives) weights += objective.weight;
  for (size_t o = 0; o < work.objectives.size(); ++o) {
    optimizer.zero_gradients();
    double sum = 0, count = 0, tokens = 0;
    for (const auto& example : work.examples[o]) {
      const LossSum loss = learner.loss(work.objectives[o], example, settings, watch, seconds);
      loss.sum.backward();
      watch.add_to(seconds.backward);
      sum += loss.sum.item<double>();
      count += loss.count;
      tokens += static_cast<double>(example.tokens);
    }
    const std::vector<double> all = group.sum({sum, count, tokens, interrupted() ? 1.0 : 0.0});
    watch.add_to(seconds.communicate);
    const double share = work.objectives[o].weight / weights;
    out.loss += share * all[0] / std::max(1.0, all[1]);
    out.tokens += static_cast<int64_t>(all[2]);
    out.interrupted = out.interrupted || all[3] > 0;
    add_gradients(gradients, optimizer.take_gradients(), share / std::max(1.0, all[1]));
    watch.add_to(seconds.backward);
  }
  fill_missing(gradients, optimizer.parameters(), group);
  std::vector<Tensor> present;
  for (const auto& gradient : gradients) {
    if (gradient.defined()) present.push_back(gradient);
  }
  group.sum_in_place(present);
  watch.add_to(seconds.communicate);
  optimizer.set_gradients(gradients);
  out.gradient_norm = optimizer.clip_gradients(clip);
  watch.add_to(seconds.optimizer);
  out.seconds = group.sum({group.leads() ? watch.total() : 0.0})[0];
  return out;
}

}  // namespace precis

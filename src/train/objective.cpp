#include "precis/train/objective.h"

#include <torch/types.h>

#include "precis/compress/prompt.h"
#include "precis/core/error.h"
#include "precis/core/random.h"
#include "precis/nn/divergence.h"

namespace precis {

std::vector<Objective> objectives_of(const ObjectiveConfig& o, uint64_t seed, int64_t step) {
  std::vector<Objective> all;
  double weights = 0;
  for (const auto& objective :
       {Objective{"ae", Task::ae, o.ae}, Objective{"lm", Task::lm, o.lm}, Objective{"qa", Task::qa, o.qa},
        Objective{"distill", o.distill_task == "lm" ? Task::lm : Task::qa, o.distill}}) {
    if (objective.weight <= 0) continue;
    all.push_back(objective);
    weights += objective.weight;
  }
  if (all.empty()) throw Error({.what = "no objective has a weight above 0", .where = "train.objectives"});
  if (o.mix == "joint") return all;
  double draw = Random(seed, "objective", static_cast<uint64_t>(step)).uniform() * weights;
  for (auto objective : all) {
    draw -= objective.weight;
    if (draw >= 0) continue;
    objective.weight = 1;
    return {objective};
  }
  all.back().weight = 1;
  return {all.back()};
}

TaskTokens without_first_label(TaskTokens task) {
  task.labels = task.labels.clone();
  task.labels.select(1, 0).fill_(-100);
  return task;
}

namespace {

// Final hidden states [n, D] at the supervised positions of an input, in order.
Tensor supervised_rows(const Decoder& decoder, const DecoderInput& input) {
  const Tensor places = input.labels.flatten().ne(-100).nonzero().squeeze(1).to(decoder.device());
  return decoder.hidden(input).flatten(0, 1).index_select(0, places);
}

DecoderInput teacher_input(const Decoder& decoder, const TokenBatch& context, const TaskTokens& task, int64_t bos_id) {
  PromptBuilder builder(decoder, task);
  const int64_t width = context.ids.size(1), first = builder.add_rows(decoder.embed(context.ids).flatten(0, 1));
  const int64_t bos = bos_id >= 0 ? builder.add_token(bos_id) : -1;
  for (int64_t r = 0; r < builder.rows(); ++r) {
    const int64_t b = builder.memory_of(r), length = context.lengths[b].item<int64_t>();
    int64_t position = 0;
    if (bos >= 0) builder.push(r, bos, position++);
    for (int64_t t = 0; t < length; ++t) builder.push(r, first + b * width + t, position++);
    builder.push_task(r, position);
  }
  return builder.finish();
}

}  // namespace

LossSum distillation_loss(const Decoder& decoder, const DecoderInput& input, const TokenBatch& context,
                          const TaskTokens& task, int64_t bos_id, const ObjectiveConfig& config) {
  Tensor teacher;
  {
    const at::NoGradGuard frozen;
    teacher = supervised_rows(decoder, teacher_input(decoder, context, task, bos_id));
  }
  const Tensor rows = supervised_rows(decoder, input);
  check(rows.size(0) == teacher.size(0), "distillation: teacher and student need the same supervised tokens");
  return {linear_divergence_sum(rows, teacher, decoder.classifier(), config.distill_temperature, config.distill_top_k),
          static_cast<double>(rows.size(0))};
}

}  // namespace precis

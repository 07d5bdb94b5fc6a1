#include "precis/train/adamw.h"

#include <torch/types.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <numbers>
#include <set>

#include "precis/core/error.h"
#include "precis/core/strings.h"

namespace precis {

AdamW::AdamW(TensorMap parameters, const TrainConfig& config,
             const std::function<double(const std::string&)>& lr_factor)
    : beta1_(config.beta1), beta2_(config.beta2), epsilon_(config.epsilon), weight_decay_(config.weight_decay) {
  for (const auto& own : config.lr_factors) {
    const auto fits = [&](const auto& item) { return item.first.starts_with(own.tensors); };
    if (std::any_of(parameters.begin(), parameters.end(), fits)) continue;
    std::set<std::string> beginnings;
    for (const auto& [name, parameter] : parameters) beginnings.insert(name.substr(0, name.find('.')));
    throw Error({.what = "no trained tensor has this name",
                 .where = "train.lr_factors",
                 .expected = "the beginning of one of " + join({beginnings.begin(), beginnings.end()}, ", "),
                 .found = own.tensors});
  }
  for (auto& [name, parameter] : parameters) {
    double factor = 1;
    for (const auto& own : config.lr_factors) {
      if (name.starts_with(own.tensors)) factor = own.factor;
    }
    slots_.push_back({name, factor * lr_factor(name), parameter,
                      torch::zeros_like(parameter, torch::MemoryFormat::Contiguous).detach(),
                      torch::zeros_like(parameter, torch::MemoryFormat::Contiguous).detach(),
                      torch::zeros({}, parameter.options().dtype(torch::kFloat)).detach()});
  }
}

void AdamW::zero_gradients() {
  for (auto& slot : slots_) slot.parameter.mutable_grad() = Tensor();
}

std::vector<Tensor> AdamW::parameters() const {
  std::vector<Tensor> out;
  for (const auto& slot : slots_) out.push_back(slot.parameter);
  return out;
}

std::vector<Tensor> AdamW::take_gradients() {
  std::vector<Tensor> gradients;
  for (auto& slot : slots_) {
    gradients.push_back(slot.parameter.grad());
    slot.parameter.mutable_grad() = Tensor();
  }
  return gradients;
}

void AdamW::set_gradients(const std::vector<Tensor>& gradients) {
  check(gradients.size() == slots_.size(), "AdamW: one gradient per parameter");
  for (size_t i = 0; i < slots_.size(); ++i) slots_[i].parameter.mutable_grad() = gradients[i];
}

void AdamW::forget() {
  for (auto& slot : slots_) {
    slot.first_moment.zero_();
    slot.second_moment.zero_();
    slot.steps.zero_();
  }
}

double AdamW::clip_gradients(double clip) {
  std::vector<Tensor> gradients;
  for (const auto& slot : slots_) {
    if (slot.parameter.grad().defined()) gradients.push_back(slot.parameter.grad());
  }
  if (gradients.empty()) return 0;
  const double norm = torch::stack(at::_foreach_norm(gradients)).norm().item<double>();
  if (clip > 0 && norm > clip) at::_foreach_mul_(gradients, clip / (norm + 1e-6));
  return norm;
}

void AdamW::step(double rate) {
  const at::NoGradGuard no_gradient;
  struct Group {
    std::vector<Tensor> parameters, gradients, first, second, steps;
  };
  std::map<double, Group> groups;  // by factor
  for (auto& slot : slots_) {
    if (!slot.parameter.grad().defined()) continue;
    Group& group = groups[slot.factor];
    group.parameters.push_back(slot.parameter);
    group.gradients.push_back(slot.parameter.grad());
    group.first.push_back(slot.first_moment);
    group.second.push_back(slot.second_moment);
    group.steps.push_back(slot.steps);
  }
  for (auto& [factor, group] : groups) {
    at::_foreach_add_(group.steps, 1);
    at::_fused_adamw_(group.parameters, group.gradients, group.first, group.second, {}, group.steps, factor * rate,
                      beta1_, beta2_, weight_decay_, epsilon_, false, false);
  }
}

TensorMap AdamW::state() const {
  TensorMap out;
  for (const auto& slot : slots_) {
    out[slot.name + ".first_moment"] = slot.first_moment;
    out[slot.name + ".second_moment"] = slot.second_moment;
    out[slot.name + ".steps"] = slot.steps;
  }
  return out;
}

void AdamW::load_state(const TensorMap& state, const std::string& where) {
  const TensorMap own = this->state();
  for (const auto& [name, tensor] : own) {
    const auto given = state.find(name);
    if (given == state.end() || given->second.sizes() != tensor.sizes()) {
      throw Error({.what = "the optimiser's state does not fit",
                   .where = where,
                   .expected = cat(name, " ", tensor.sizes()),
                   .found = given == state.end() ? "nothing" : cat(given->second.sizes())});
    }
  }
  if (state.size() != own.size())
    throw Error({.what = "the optimiser's state has too many tensors",
                 .where = where,
                 .expected = cat(own.size()),
                 .found = cat(state.size())});
  for (const auto& [name, tensor] : own) Tensor(tensor).copy_(state.at(name));
}

double learning_rate(const StageConfig& config, double final_share, int64_t step, double progress) {
  const double warm = config.warmup_steps > 0
                          ? std::min(1.0, static_cast<double>(step + 1) / static_cast<double>(config.warmup_steps))
                          : 1.0;
  double share = 1;
  if (config.schedule == "linear") share = 1 - progress;
  if (config.schedule == "cosine") share = 0.5 * (1 + std::cos(std::numbers::pi * progress));
  return config.lr * warm * (final_share + (1 - final_share) * (config.schedule == "constant" ? 1 : share));
}

}  // namespace precis

#include "precis/nn/lora.h"

#include <torch/torch.h>

#include <algorithm>
#include <cmath>

#include "precis/core/error.h"

namespace precis {

LoraSet::LoraSet(int64_t layers, const std::vector<LoraTarget>& targets, LoraOptions options, at::Generator generator)
    : options_(options) {
  check(options.rank >= 1, "a LoRA set needs a rank of at least 1");
  for (const auto& target : targets) targets_.push_back(target.name);
  for (int64_t layer = 0; layer < layers; ++layer) {
    auto layer_module = register_module(std::to_string(layer), std::make_shared<torch::nn::Module>());
    pairs_.emplace_back();
    for (const auto& target : targets) {
      auto module = layer_module->register_module(target.name, std::make_shared<torch::nn::Module>());
      const double bound = 1 / std::sqrt(static_cast<double>(options.bound_by_rank ? options.rank : target.in));
      pairs_.back().push_back({module->register_parameter("A", torch::empty({options.rank, target.in}).uniform_(-bound, bound, generator)),
                               module->register_parameter("B", torch::zeros({target.out, options.rank}))});
    }
  }
}

std::optional<size_t> LoraSet::index_of(const std::string& target) const {
  const auto found = std::find(targets_.begin(), targets_.end(), target);
  if (found == targets_.end()) return std::nullopt;
  return static_cast<size_t>(found - targets_.begin());
}

Tensor LoraSet::delta(int64_t layer, const std::string& target, const Tensor& x) const {
  const auto index = index_of(target);
  if (!index) return {};
  const Pair& pair = pairs_[static_cast<size_t>(layer)][*index];
  Tensor input = x;
  if (is_training() && options_.dropout > 0) {
    const double keep = 1 - options_.dropout;
    input = x * (torch::empty_like(x).bernoulli_(keep, dropout_generator_) / keep);
  }
  const double scale = options_.alpha / static_cast<double>(options_.rank);
  const Tensor low = torch::linear(input, pair.a.to(x.scalar_type()));      // [..., rank]
  return torch::linear(low, (pair.b * scale).to(x.scalar_type()));          // [..., out]
}

}  // namespace precis

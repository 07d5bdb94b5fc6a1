#include "precis/nn/lora.h"

#include <torch/torch.h>

#include <algorithm>
#include <cmath>

#include "precis/core/error.h"
#include "precis/nn/dropout.h"
#include "precis/nn/lora_linear.h"

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
      pairs_.back().push_back(
          {module->register_parameter("A", torch::empty({options.rank, target.in}).uniform_(-bound, bound, generator)),
           module->register_parameter("B", torch::zeros({target.out, options.rank}))});
    }
  }
}

std::optional<size_t> LoraSet::index_of(const std::string& target) const {
  const auto found = std::find(targets_.begin(), targets_.end(), target);
  if (found == targets_.end()) return std::nullopt;
  return static_cast<size_t>(found - targets_.begin());
}

std::optional<at::Generator> LoraSet::dropout_generator() const {
  if (!is_training() || options_.dropout == 0 || !dropout_generator_) return dropout_generator_;
  return dropout_generator_->clone();
}

std::vector<Tensor> LoraSet::layer_tensors(int64_t layer) const {
  std::vector<Tensor> out;
  for (const auto& [a, b] : pairs_[static_cast<size_t>(layer)]) out.insert(out.end(), {a, b});
  return out;
}

Tensor LoraSet::apply(int64_t layer, const std::vector<Part>& parts, const LinearInput& x, const Tensor& weight,
                      const Tensor& bias) const {
  std::vector<LoraSlice> slices;
  int64_t begin = 0;
  const bool drops = is_training() && options_.dropout > 0;
  const double keep = drops ? 1 - options_.dropout : 1;
  std::vector<int64_t> shape = x.source.sizes().vec();
  shape.back() = weight.size(1);
  for (const auto& [name, width] : parts) {
    if (const auto index = index_of(name)) {
      const Pair& pair = pairs_[static_cast<size_t>(layer)][*index];
      slices.push_back({begin, pair.a, pair.b, {}});
      if (drops) slices.back().mask = dropout_mask(shape, weight.device(), keep, dropout_generator_);
    }
    begin += width;
  }
  return lora_linear(x, weight, bias, slices, options_.alpha / static_cast<double>(options_.rank) / keep);
}

}  // namespace precis

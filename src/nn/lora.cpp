#include "precis/nn/lora.h"

#include <torch/types.h>

#include <algorithm>
#include <cmath>

#include "precis/core/error.h"
#include "precis/nn/dropout.h"

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

void LoraSet::train(bool on) {
  torch::nn::Module::train(on);
  casts_.clear();
}

const LowRank& LoraSet::cast(int64_t layer, size_t first, const std::vector<LoraSlice>& slices,
                             at::ScalarType dtype) const {
  const auto tensors = [](const std::vector<LoraSlice>& of) {
    std::vector<Tensor> out;
    for (const auto& slice : of) out.insert(out.end(), {slice.a, slice.b});
    return out;
  };
  const std::vector<Tensor> sources = tensors(slices);
  const Cast& kept = casts_[{layer, first}];
  bool holds = kept.sources.size() == sources.size() && kept.adapters.a.scalar_type() == dtype;
  for (size_t i = 0; i < sources.size() && holds; ++i)
    holds = kept.sources[i].data_ptr() == sources[i].data_ptr() && kept.versions[i] == sources[i]._version() &&
            kept.adapters.begins[i / 2] == slices[i / 2].begin;
  if (holds) return kept.adapters;
  // Cast all layers at once: casts are long-lived and would fragment the memory of a pass's short-lived tensors.
  const std::vector<Pair>& own = pairs_[static_cast<size_t>(layer)];
  for (size_t l = 0; l < pairs_.size(); ++l) {
    std::vector<LoraSlice> same;
    for (const auto& slice : slices) {
      const auto is_own = [&slice](const Pair& pair) { return pair.a.is_same(slice.a); };
      const Pair& pair = pairs_[l][static_cast<size_t>(std::find_if(own.begin(), own.end(), is_own) - own.begin())];
      same.push_back({slice.begin, pair.a, pair.b, {}});
    }
    Cast& made = casts_[{static_cast<int64_t>(l), first}];
    made = {{}, {}, low_rank(same, dtype)};
    for (const Tensor& t : tensors(same)) {
      made.sources.push_back(t.detach());
      made.versions.push_back(t._version());
    }
  }
  return kept.adapters;
}

Tensor LoraSet::apply(int64_t layer, const std::vector<Part>& parts, const LinearInput& x, const Tensor& weight,
                      const Tensor& bias, const Tensor& rows) const {
  std::vector<LoraSlice> slices;
  size_t first = 0;
  int64_t begin = 0;
  const bool drops = is_training() && options_.dropout > 0;
  const double keep = drops ? 1 - options_.dropout : 1;
  const Tensor index = rows.defined()
                           ? rows.expand(x.source.sizes().slice(0, x.source.dim() - 1)).flatten().nonzero().squeeze(1)
                           : Tensor();
  std::vector<int64_t> shape = x.source.sizes().vec();
  if (index.defined()) shape = {index.size(0), 0};
  shape.back() = weight.size(1);
  for (const auto& [name, width] : parts) {
    if (const auto target = index_of(name)) {
      const Pair& pair = pairs_[static_cast<size_t>(layer)][*target];
      if (slices.empty()) first = *target;
      slices.push_back({begin, pair.a, pair.b, {}});
      if (drops) slices.back().mask = dropout_mask(shape, weight.device(), keep, dropout_generator_);
    }
    begin += width;
  }
  const double scale = options_.alpha / static_cast<double>(options_.rank) / keep;
  if (index.defined()) return lora_linear_at(index, x.rows(), weight, bias, slices, scale);
  const at::ScalarType dtype = weight.scalar_type();
  if (!slices.empty() && !at::GradMode::is_enabled() && !is_training() && !slices.front().a.is_inference() &&
      slices.front().a.scalar_type() != dtype)
    return lora_linear(x, weight, bias, cast(layer, first, slices, dtype), scale);
  return lora_linear(x, weight, bias, slices, scale);
}

}  // namespace precis

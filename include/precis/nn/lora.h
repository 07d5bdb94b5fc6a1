// Low-rank adapters, passed to a forward pass as a set: y = W x + (alpha / rank) B(A(dropout(x))).
// With the set, the pass is the encoder; without it, the plain frozen decoder. Nothing is wrapped or copied.
// Re-implemented from Hu et al. (2021), arXiv 2106.09685, with peft's initial values.
#pragma once

#include <torch/nn/module.h>

#include <map>
#include <optional>
#include <string>
#include <vector>

#include "precis/nn/linear.h"
#include "precis/nn/lora_linear.h"

namespace precis {

using at::Tensor;

// One adapted linear of every layer: its name and its widths.
struct LoraTarget {
  std::string name;  // "q_proj"
  int64_t in, out;
};

struct LoraOptions {
  int64_t rank = 64;
  double alpha = 32;
  double dropout = 0;
  bool bound_by_rank = false;  // A uniform within 1/sqrt(rank) (SAC) instead of 1/sqrt(in) (peft)
};

// Trained tensors "<layer>.<target>.A" [rank, in] and ".B" [out, rank], fp32; B starts at zero.
class LoraSet : public torch::nn::Module {
 public:
  LoraSet(int64_t layers, const std::vector<LoraTarget>& targets, LoraOptions options, at::Generator generator);

  // One of the linears in a fused product: its name and width.
  using Part = std::pair<const char*, int64_t>;
  // x W^T + bias with the updates of those `parts` (in the order of W's rows) that this set adapts. `rows`: the rows to
  // update, bool in the shape of x without its last dimension; undefined: all.
  Tensor apply(int64_t layer, const std::vector<Part>& parts, const LinearInput& x, const Tensor& weight,
               const Tensor& bias, const Tensor& rows = {}) const;

  // Generator for the next pass's dropout masks (training mode only).
  void set_dropout_generator(at::Generator generator) { dropout_generator_ = std::move(generator); }
  // A copy of that generator in its current state; a recomputed layer draws the same masks from it.
  std::optional<at::Generator> dropout_generator() const;
  // During its lifetime, masks are drawn from `generator`.
  class UseGenerator {
   public:
    UseGenerator(const LoraSet& set, std::optional<at::Generator> generator)
        : set_(set), before_(std::exchange(set.dropout_generator_, std::move(generator))) {}
    ~UseGenerator() { set_.dropout_generator_ = std::move(before_); }
    UseGenerator(const UseGenerator&) = delete;
    UseGenerator& operator=(const UseGenerator&) = delete;

   private:
    const LoraSet& set_;
    std::optional<at::Generator> before_;
  };

  void train(bool on = true) override;  // always drops the cached adapters

  std::vector<Tensor> layer_tensors(int64_t layer) const;  // the trained tensors of one layer

 private:
  struct Pair {
    Tensor a, b;
  };
  // Inference cache: the adapters of a fused product in another dtype, valid until one of their source tensors changes
  // or training begins.
  struct Cast {
    std::vector<Tensor> sources;  // aliases, so that their memory is not reused
    std::vector<uint32_t> versions;
    LowRank adapters;
  };
  std::optional<size_t> index_of(const std::string& target) const;
  const LowRank& cast(int64_t layer, size_t first, const std::vector<LoraSlice>& slices, at::ScalarType dtype) const;

  LoraOptions options_;
  std::vector<std::string> targets_;
  std::vector<std::vector<Pair>> pairs_;                      // [layer][target]
  mutable std::map<std::pair<int64_t, size_t>, Cast> casts_;  // by layer and first target
  mutable std::optional<at::Generator> dropout_generator_;
};

}  // namespace precis

// Activation recomputation: a block keeps its inputs only and is run again in the backward pass (Chen et al. 2016,
// arXiv 1604.06174). One more forward pass buys memory that does not grow with the number of layers.
#pragma once

#include <ATen/core/Tensor.h>

#include <functional>
#include <vector>

namespace precis {

using at::Tensor;

// While one that is on lives, the decoder's layers are recomputed in backward passes on this thread.
class RecomputeGuard {
 public:
  explicit RecomputeGuard(bool on);
  ~RecomputeGuard();
  RecomputeGuard(const RecomputeGuard&) = delete;
  RecomputeGuard& operator=(const RecomputeGuard&) = delete;

 private:
  bool before_;
};

using Block = std::function<std::vector<Tensor>(const std::vector<Tensor>&)>;

// block(inputs), recomputed in the backward pass where a guard is on and gradients are recorded. The block must compute
// the same both times and own what it refers to. `trained`: the other tensors through which gradients flow, which the
// block uses by itself.
std::vector<Tensor> run_block(const Block& block, const std::vector<Tensor>& inputs,
                              const std::vector<Tensor>& trained);

}  // namespace precis

// Activation recomputation: a block keeps its inputs only and runs again in the backward pass (Chen et al. 2016, arXiv
// 1604.06174). One more forward pass saves most activation memory.
#pragma once

#include <ATen/core/Tensor.h>

#include <functional>
#include <vector>

namespace precis {

using at::Tensor;

// While an active guard exists, backward passes on this thread recompute the decoder's layers.
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

// block(inputs), recomputed in the backward pass if a guard is active and gradients are recorded. The block must be
// deterministic and own its captures. `trained`: the other tensors that the block uses and that need gradients.
std::vector<Tensor> run_block(const Block& block, const std::vector<Tensor>& inputs,
                              const std::vector<Tensor>& trained);

}  // namespace precis

// Language-model loss without materialised logits: the classifier's product and the cross-entropy, fused by row blocks.
#pragma once

#include <ATen/core/Tensor.h>

namespace precis {

using at::Tensor;

// Sum over rows of -log softmax(rows W^T)[target], fp32 scalar, differentiable in `rows` only (W is frozen).
// rows [R, D], weight [V, D], targets int64 [R]. Nothing of size [R, V] is kept; a block has `block_rows` rows.
Tensor linear_cross_entropy_sum(const Tensor& rows, const Tensor& weight, const Tensor& targets,
                                int64_t block_rows = 64);

}  // namespace precis

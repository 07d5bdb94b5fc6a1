// Distillation loss without materialised logits, by row blocks, as linear_cross_entropy_sum.
#pragma once

#include <ATen/core/Tensor.h>

namespace precis {

using at::Tensor;

// Sum over rows of T^2 KL(p || q), fp32 scalar, differentiable in `rows` only: p = softmax(teacher W^T / T), q =
// softmax(rows W^T / T). With top_k > 0, p keeps its k likeliest tokens, renormalised; q is not. rows, teacher [R, D],
// weight [V, D]. A block has `block_rows` rows.
Tensor linear_divergence_sum(const Tensor& rows, const Tensor& teacher, const Tensor& weight, double temperature,
                             int64_t top_k, int64_t block_rows = 64);

// The reference: all logits at once, differentiated by autograd.
Tensor reference_linear_divergence_sum(const Tensor& rows, const Tensor& teacher, const Tensor& weight,
                                       double temperature, int64_t top_k);

}  // namespace precis

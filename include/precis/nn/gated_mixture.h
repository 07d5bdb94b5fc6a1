// Per-token sums over the layers of a frozen model: the two passes over its hidden states in ComprExIT's depth-wise
// gate (methods.md section 4.1, folded form). Each pass reads the states once, in their own dtype, and allocates
// nothing of the size of all layers.
#pragma once

#include <ATen/core/Tensor.h>

#include <vector>

namespace precis {

using at::Tensor;

// sum_k weights[k] states[k]: fp32 [n, L, D] from K states [n, L, D] and weights [K] fp32. Differentiable in the
// weights; on the slow path also in the states.
Tensor weighted_sum(const std::vector<Tensor>& states, const Tensor& weights);
Tensor reference_weighted_sum(const std::vector<Tensor>& states, const Tensor& weights);

// gate_k = softmax_k(scale (states[k] . query + offset_k)), mixture = sum_k gate_k states[k]. query [n, L, D], offset
// [n, L, K], all fp32. Differentiable in query and offset; on the slow path also in the states.
struct GatedMixture {
  Tensor mixture;  // fp32 [n, L, D]
  Tensor gate;     // fp32 [n, L, K]
};
GatedMixture gated_mixture(const std::vector<Tensor>& states, const Tensor& query, const Tensor& offset, double scale);
GatedMixture reference_gated_mixture(const std::vector<Tensor>& states, const Tensor& query, const Tensor& offset,
                                     double scale);

}  // namespace precis

// Sums over the layers of a frozen model, token by token: the two passes over its hidden states that ComprExIT's
// depth-wise gate makes (methods.md section 4.1, folded form). States are read in the dtype they come in, once a pass,
// and nothing of the size of all layers is made.
#pragma once

#include <ATen/core/Tensor.h>

#include <vector>

namespace precis {

using at::Tensor;

// sum_k weights[k] states[k]: fp32 [n, L, D] of K states [n, L, D] and weights [K] fp32. Differentiable in the weights,
// and, on the slow path, in the states too.
Tensor weighted_sum(const std::vector<Tensor>& states, const Tensor& weights);
Tensor reference_weighted_sum(const std::vector<Tensor>& states, const Tensor& weights);

// gate_k = softmax_k(scale (states[k] . query + offset_k)), mixture = sum_k gate_k states[k]. query [n, L, D], offset
// [n, L, K], all fp32. Differentiable in query and offset, and, on the slow path, in the states too.
struct GatedMixture {
  Tensor mixture;  // fp32 [n, L, D]
  Tensor gate;     // fp32 [n, L, K]
};
GatedMixture gated_mixture(const std::vector<Tensor>& states, const Tensor& query, const Tensor& offset, double scale);
GatedMixture reference_gated_mixture(const std::vector<Tensor>& states, const Tensor& query, const Tensor& offset,
                                     double scale);

}  // namespace precis

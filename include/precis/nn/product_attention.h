// Attention on the CPU as matrix products around our own softmax kernel, forward and backward. LibTorch's fused kernel
// takes several times as long in the backward pass at training lengths, and in bf16 without AMX.
#pragma once

#include <ATen/core/Tensor.h>

namespace precis {

using at::Tensor;

// softmax(q K^T / sqrt(d)) V. q [B, H, T, d], k and v [B, K, S, d] with H a multiple of K, fp32 or bf16; `mask` bool,
// broadcastable to [B, 1, T, S], true = may attend, or undefined: all; `causal`: row t sees the keys up to t as well.
// Scores and weights have the dtype of q, the softmax is computed in fp32. Nothing of size T x S is kept between the
// passes: the backward pass recomputes the weights. Without gradients nothing of that size is allocated: rows are
// processed in blocks. A row that sees no key gives 0.
Tensor product_attention(const Tensor& q, const Tensor& k, const Tensor& v, const Tensor& mask, bool causal);

// Whether autograd needs a gradient of any input.
bool needs_gradient(const Tensor& q, const Tensor& k, const Tensor& v);

// The reference implementation, with LibTorch's differentiable operations.
Tensor reference_product_attention(const Tensor& q, const Tensor& k, const Tensor& v, const Tensor& mask, bool causal);

}  // namespace precis

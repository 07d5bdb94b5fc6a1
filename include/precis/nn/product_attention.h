// Attention on the CPU as matrix products around a softmax of our own, forward and backward. LibTorch's fused kernel
// takes several times as long in its backward pass at the lengths that training has, and in bf16 without AMX.
#pragma once

#include <ATen/core/Tensor.h>

namespace precis {

using at::Tensor;

// softmax(q K^T / sqrt(d)) V. q [B, H, T, d], k and v [B, K, S, d] with H a multiple of K, fp32 or bf16; `mask` bool,
// broadcastable to [B, 1, T, S], true = may attend, or undefined: all; `causal`: row t sees the keys up to t as well.
// Scores and weights are kept in the dtype of q, softmax is computed in fp32. Between the passes nothing of size T x S
// lives on: the backward pass computes the weights again. Without a gradient nothing of that size is made at all: rows
// go through in blocks. A row that may see nothing gives 0.
Tensor product_attention(const Tensor& q, const Tensor& k, const Tensor& v, const Tensor& mask, bool causal);

// Whether a gradient will be asked for.
bool needs_gradient(const Tensor& q, const Tensor& k, const Tensor& v);

// The same by LibTorch's own differentiable operations: the reference twin.
Tensor reference_product_attention(const Tensor& q, const Tensor& k, const Tensor& v, const Tensor& mask, bool causal);

}  // namespace precis

// The gated unit of Llama's feed-forward layers, silu(gate) * up (Shazeer, arXiv 2002.05202), on the fused projection.
#pragma once

#include <ATen/core/Tensor.h>

namespace precis {

using at::Tensor;

// gate_up [..., 2F], gates first; returns [..., F]. The gradient is one tensor, without a concatenation of halves.
Tensor swiglu(const Tensor& gate_up);

// The same with the tanh approximation of GELU in place of silu, as in Gemma; with LibTorch's operations.
Tensor geglu(const Tensor& gate_up);

Tensor reference_swiglu(const Tensor& gate_up);  // with LibTorch's differentiable operations

}  // namespace precis

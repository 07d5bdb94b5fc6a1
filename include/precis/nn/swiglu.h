// The gated unit of Llama's feed-forward layers, silu(gate) * up (Shazeer, arXiv 2002.05202), on the joined product.
#pragma once

#include <ATen/core/Tensor.h>

namespace precis {

using at::Tensor;

// gate_up [..., 2F], gates first; returns [..., F]. The gradient is written in place, without joining two halves.
Tensor swiglu(const Tensor& gate_up);

Tensor reference_swiglu(const Tensor& gate_up);  // by LibTorch's own differentiable operations

}  // namespace precis

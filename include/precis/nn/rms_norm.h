// RMSNorm with a frozen weight (Zhang & Sennrich, arXiv 1910.07467): one pass forward, one backward, computed in fp32.
#pragma once

#include <ATen/core/Tensor.h>

namespace precis {

using at::Tensor;

// x [..., D] times rsqrt(mean(x^2) + eps), rounded to x's dtype, times weight [D]. Differentiable in x only.
Tensor frozen_rms_norm(const Tensor& x, const Tensor& weight, double eps);

// The reference implementation, with LibTorch's operations.
Tensor reference_rms_norm(const Tensor& x, const Tensor& weight, double eps);

}  // namespace precis

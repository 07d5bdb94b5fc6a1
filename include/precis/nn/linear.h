// Products with frozen weights: x W^T + b, differentiable in x alone.
#pragma once

#include <ATen/core/Tensor.h>

#include <functional>

namespace precis {

using at::Tensor;

// The input rows of a linear: `source`, or `make(source)`. When adapters train, only the source is kept; a cheap `make`
// (a norm, an activation) runs again in the backward pass.
struct LinearInput {
  Tensor source;
  std::function<Tensor(const Tensor&)> make;  // owns its captures; empty: the source itself
  Tensor rows() const { return make ? make(source) : source; }
};

// x [..., in], weight [out, in], bias [out] or undefined. Keeps only the weight for the backward pass. On AMD
// processors fp32 products use oneDNN, since MKL, LibTorch's choice, takes slower kernels there. Many bf16 rows are
// split across the threads.
Tensor frozen_linear(const Tensor& x, const Tensor& weight, const Tensor& bias);
Tensor reference_linear(const Tensor& x, const Tensor& weight, const Tensor& bias);

// The two products of frozen_linear without autograd: rows [R, in] times W^T, and rows [R, out] times W.
Tensor times_transposed(const Tensor& rows, const Tensor& weight);
Tensor times(const Tensor& rows, const Tensor& weight);

}  // namespace precis

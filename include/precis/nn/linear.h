// Products with frozen weights: x W^T + b, differentiable in x alone.
#pragma once

#include <ATen/core/Tensor.h>

#include <functional>

namespace precis {

using at::Tensor;

// The rows a linear reads: `source` itself, or what `make` makes of it. Where adapters train, only the source is kept,
// and what is cheap to make (a norm, an activation) is made again in the backward pass, by the same operations.
struct LinearInput {
  Tensor source;
  std::function<Tensor(const Tensor&)> make;  // owns what it refers to; empty: the source itself
  Tensor rows() const { return make ? make(source) : source; }
};

// x [..., in], weight [out, in], bias [out] or undefined. Keeps nothing for the backward pass but the weight. On an AMD
// processor in fp32 it is computed by oneDNN: MKL, which LibTorch takes, has its slower kernels there. Many rows in
// bf16 are dealt out to the threads.
Tensor frozen_linear(const Tensor& x, const Tensor& weight, const Tensor& bias);
Tensor reference_linear(const Tensor& x, const Tensor& weight, const Tensor& bias);

// The two products of frozen_linear without a graph: rows [R, in] times W^T, and rows [R, out] times W.
Tensor times_transposed(const Tensor& rows, const Tensor& weight);
Tensor times(const Tensor& rows, const Tensor& weight);

}  // namespace precis

// A frozen linear layer with its low-rank updates, in as few products as possible, forward and backward: no update is
// materialised as a matrix, the frozen weight gets no gradient, sums are in place.
#pragma once

#include <vector>

#include "precis/nn/linear.h"

namespace precis {

// Rows of W that one adapter updates: outputs [begin, begin + b.size(0)).
struct LoraSlice {
  int64_t begin = 0;
  Tensor a, b;  // [rank, in], [out, rank]; fp32
  Tensor mask;  // inputs that dropout keeps (dropout.h; `scale` is divided by their share); undefined: all
};

// Adapters of one product, ready for use: in the rows' dtype, with A of all slices as one matrix.
struct LowRank {
  Tensor a;                     // [sum of ranks, in]
  std::vector<Tensor> b;        // [out, rank] of each slice
  std::vector<int64_t> begins;  // of each slice
};
LowRank low_rank(const std::vector<LoraSlice>& slices, at::ScalarType dtype);

// x W^T + bias, plus scale * B(A(mask x)) for each slice. x [..., in], weight [out, in]; returns [..., out]. Either
// all slices have a mask or none; without masks they share their products with x.
Tensor lora_linear(const LinearInput& x, const Tensor& weight, const Tensor& bias, const std::vector<LoraSlice>& slices,
                   double scale);

// The same without masks and gradients.
Tensor lora_linear(const LinearInput& x, const Tensor& weight, const Tensor& bias, const LowRank& adapters,
                   double scale);

// The same with updates for some rows only. index: int64 [n], into the flattened rows of x [..., in]; masks are for
// these rows.
Tensor lora_linear_at(const Tensor& index, const Tensor& x, const Tensor& weight, const Tensor& bias,
                      const std::vector<LoraSlice>& slices, double scale);

// The reference implementation, with LibTorch's differentiable operations.
Tensor reference_lora_linear(const Tensor& x, const Tensor& weight, const Tensor& bias,
                             const std::vector<LoraSlice>& slices, double scale);

}  // namespace precis

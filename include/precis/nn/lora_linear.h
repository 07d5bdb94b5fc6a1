// A frozen linear layer together with its low-rank updates, forward and backward as few products as possible: no update
// is materialised as a matrix, no weight gradient is computed for the frozen weight, sums are taken in place.
#pragma once

#include <vector>

#include "precis/nn/linear.h"

namespace precis {

// Rows of W that one adapter updates: outputs [begin, begin + b.size(0)).
struct LoraSlice {
  int64_t begin = 0;
  Tensor a, b;  // [rank, in], [out, rank]; fp32
  Tensor mask;  // which inputs dropout keeps (dropout.h; `scale` is divided by their share); undefined: all
};

// Adapters of one product as it reads them: in the rows' dtype, and A of all slices as one matrix.
struct LowRank {
  Tensor a;                     // [sum of ranks, in]
  std::vector<Tensor> b;        // [out, rank] of each slice
  std::vector<int64_t> begins;  // of each slice
};
LowRank low_rank(const std::vector<LoraSlice>& slices, at::ScalarType dtype);

// x W^T + bias, and scale * B(A(mask x)) added to each slice. x [..., in], weight [out, in]; returns [..., out]. Either
// all slices have a mask or none; without masks they share their products with x.
Tensor lora_linear(const LinearInput& x, const Tensor& weight, const Tensor& bias, const std::vector<LoraSlice>& slices,
                   double scale);

// The same without masks and gradients.
Tensor lora_linear(const LinearInput& x, const Tensor& weight, const Tensor& bias, const LowRank& adapters,
                   double scale);

// The same by LibTorch's own differentiable operations: the reference twin.
Tensor reference_lora_linear(const Tensor& x, const Tensor& weight, const Tensor& bias,
                             const std::vector<LoraSlice>& slices, double scale);

}  // namespace precis

// A few rows times a frozen weight on the CPU: the products of token-by-token decoding. They are bound by the bandwidth
// of reading the weight, so it stays as stored (fp32, or bf16 at half the bytes) and is read once for all rows. Rows
// and sums are fp32.
#pragma once

#include <ATen/core/Tensor.h>
#include <ATen/core/ivalue.h>

#include <vector>

namespace precis {

using at::Tensor;

class RowWeight {
 public:
  RowWeight() = default;
  // weight [out, in], fp32 or bf16, contiguous, on the CPU; bias [out] or undefined. Both are shared, not copied.
  explicit RowWeight(Tensor weight, const Tensor& bias = {});

  int64_t in() const { return weight_.size(1); }
  int64_t out() const { return weight_.size(0); }

  // y [rows, out] = x [rows, in] W^T + b; `add`: y += instead. A row's result does not depend on the other rows.
  void multiply(const float* x, int64_t rows, float* y, bool add = false) const;

 private:
  std::vector<c10::IValue> seen_by_profilers(const float* x, int64_t rows) const;

  Tensor weight_, bias_;  // bias fp32
};

// The reference implementation: LibTorch's product of fp32 rows with the same weight.
Tensor reference_row_linear(const Tensor& x, const Tensor& weight, const Tensor& bias);

// One query row against `entries` keys and values of one head, [entries, d] each and contiguous, in `dtype` (fp32 or
// bf16): out [d] = softmax(scale q K^T) V in fp32. `scores`: a buffer of `entries` numbers.
void attend_one_row(const float* q, at::ScalarType dtype, const void* keys, const void* values, int64_t entries,
                    int64_t head_dim, float scale, float* scores, float* out);

}  // namespace precis

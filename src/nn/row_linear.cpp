#include "precis/nn/row_linear.h"

#include <ATen/record_function.h>
#include <torch/types.h>

#include <algorithm>
#include <cmath>
#include <cstring>

#include "precis/core/error.h"
#include "processors.h"

// Uses the compiler's vector extensions.
#if defined(__GNUC__) && !defined(__clang__)
#pragma GCC diagnostic ignored "-Wpsabi"  // no vector crosses a call: all functions that take one are inlined
#endif

namespace precis {
namespace {

constexpr int64_t lanes = 16, pair = 2 * lanes, rows_at_once = 2, weights_per_task = 32768, prefetched_bytes = 4096;

using Floats = float __attribute__((vector_size(4 * lanes)));
using Words = uint32_t __attribute__((vector_size(4 * lanes)));

template <class To, class From>
PRECIS_INLINE To load(const From* from) {
  To out;
  std::memcpy(&out, from, sizeof(out));
  return out;
}

// A pair of weight vectors: the first and second half; for bf16 the even and odd elements, which takes only two
// operations. `in_order_of` gives rows the same order.
PRECIS_INLINE void load_pair(const float* from, Floats& first, Floats& second) {
  first = load<Floats>(from);
  second = load<Floats>(from + lanes);
}
PRECIS_INLINE void load_pair(const c10::BFloat16* from, Floats& first, Floats& second) {
  const Words words = load<Words>(from), even = words << 16, odd = words & 0xffff0000U;
  std::memcpy(&first, &even, sizeof(first));
  std::memcpy(&second, &odd, sizeof(second));
}

// Rows [rows, n] in the weights' element order; copied to `buffer` if that differs.
const float* in_order_of(const float*, const float* x, int64_t, int64_t, std::vector<float>&) { return x; }
const float* in_order_of(const c10::BFloat16*, const float* x, int64_t rows, int64_t n, std::vector<float>& buffer) {
  buffer.resize(static_cast<size_t>(rows * n));
  for (int64_t r = 0; r < rows; ++r) {
    const float* from = x + r * n;
    float* to = buffer.data() + r * n;
    int64_t i = 0;
    for (; i + pair <= n; i += pair) {
      for (int64_t j = 0; j < lanes; ++j) {
        to[i + j] = from[i + 2 * j];
        to[i + lanes + j] = from[i + 2 * j + 1];
      }
    }
    std::copy(from + i, from + n, to + i);
  }
  return buffer.data();
}

PRECIS_INLINE float total(Floats v) {
  float sums[lanes];
  std::memcpy(sums, &v, sizeof(v));
  for (int64_t width = lanes / 2; width > 0; width /= 2) {
    for (int64_t j = 0; j < width; ++j) sums[j] += sums[j + width];
  }
  return sums[0];
}

// w . x_r for R rows x_r, `stride` apart; the order of summation is the same for every R. Prefetches the data after w,
// since hardware prefetching stops at page boundaries.
template <int R, class T>
PRECIS_INLINE void dots(const T* w, const float* x, int64_t stride, int64_t n, float* out) {
  Floats sums[R][2] = {}, first, second;
  int64_t i = 0;
  for (; i + pair <= n; i += pair) {
    for (size_t line = 0; line < pair * sizeof(T); line += 64)
      __builtin_prefetch(reinterpret_cast<const char*>(w + i) + line + prefetched_bytes);
    load_pair(w + i, first, second);
    for (int r = 0; r < R; ++r) {
      sums[r][0] += first * load<Floats>(x + r * stride + i);
      sums[r][1] += second * load<Floats>(x + r * stride + i + lanes);
    }
  }
  for (int r = 0; r < R; ++r) {
    out[r] = total(sums[r][0] + sums[r][1]);
    for (int64_t j = i; j < n; ++j) out[r] += widened(w[j]) * x[r * stride + j];
  }
}

template <class T>
struct Product {
  const T* weight;
  const float *bias, *x;
  float* y;
  int64_t in, out, rows;
  bool add;
};

template <int R, class T>
PRECIS_INLINE void outputs_of_rows(const Product<T>& p, int64_t o, int64_t row) {
  float sums[R];
  dots<R>(p.weight + o * p.in, p.x + row * p.in, p.in, p.in, sums);
  for (int r = 0; r < R; ++r) {
    float& y = p.y[(row + r) * p.out + o];
    y = sums[r] + (p.bias == nullptr ? 0 : p.bias[o]) + (p.add ? y : 0);
  }
}

template <class T>
PRECIS_INLINE void outputs(const Product<T>& p, int64_t begin, int64_t end) {
  for (int64_t o = begin; o < end; ++o) {
    int64_t row = 0;
    for (; row + rows_at_once <= p.rows; row += rows_at_once) outputs_of_rows<rows_at_once>(p, o, row);
    for (; row < p.rows; ++row) outputs_of_rows<1>(p, o, row);
  }
}

template <class T>
void multiply_as(Product<T> p) {
  thread_local std::vector<float> buffer;
  p.x = in_order_of(p.weight, p.x, p.rows, p.in, buffer);
  const int64_t grain = std::max<int64_t>(1, weights_per_task / p.in);
  for_rows(p.out, grain, [p](int64_t begin, int64_t end) PRECIS_ALWAYS_INLINE { outputs(p, begin, end); });
}

template <class T>
PRECIS_INLINE void attend(const float* q, const T* keys, const T* values, int64_t entries, int64_t d, float scale,
                          float* scores, float* out) {
  float highest = -INFINITY;
  for (int64_t j = 0; j < entries; ++j) {
    dots<1>(keys + j * d, q, 0, d, scores + j);  // q has the keys' element order
    scores[j] *= scale;
    highest = std::max(highest, scores[j]);
  }
  for (int64_t j = 0; j < entries; ++j) scores[j] = exp_in_vectors(scores[j] - highest);
  const float sum = sum_of(entries, [scores](int64_t j) PRECIS_ALWAYS_INLINE { return scores[j]; });
  std::fill_n(out, d, 0.0F);
  for (int64_t j = 0; j < entries; ++j) {
    const float weight = scores[j] / sum;
    for (int64_t i = 0; i < d; ++i) out[i] += weight * widened(values[j * d + i]);
  }
}

}  // namespace

RowWeight::RowWeight(Tensor weight, const Tensor& bias)
    : weight_(std::move(weight)), bias_(bias.defined() ? bias.to(torch::kFloat) : bias) {
  check(weight_.is_contiguous() && weight_.device().is_cpu() &&
            (weight_.scalar_type() == at::kFloat || weight_.scalar_type() == at::kBFloat16),
        "RowWeight: the weight must be contiguous, fp32 or bf16, on the CPU");
}

void RowWeight::multiply(const float* x, int64_t rows, float* y, bool add) const {
  RECORD_FUNCTION("precis::row_linear", seen_by_profilers(x, rows));
  const float* bias = bias_.defined() ? bias_.const_data_ptr<float>() : nullptr;
  with_type_of(weight_.scalar_type(), [&]<class T>(T) {
    multiply_as<T>({weight_.const_data_ptr<T>(), bias, x, y, in(), out(), rows, add});
  });
}

std::vector<c10::IValue> RowWeight::seen_by_profilers(const float* x, int64_t rows) const {
  return {weight_, torch::from_blob(const_cast<float*>(x), {rows, in()})};
}

Tensor reference_row_linear(const Tensor& x, const Tensor& weight, const Tensor& bias) {
  return torch::linear(x, weight.to(torch::kFloat), bias.defined() ? bias.to(torch::kFloat) : bias);
}

void attend_one_row(const float* q, at::ScalarType dtype, const void* keys, const void* values, int64_t entries,
                    int64_t head_dim, float scale, float* scores, float* out) {
  with_type_of(dtype, [&]<class T>(T) {
    thread_local std::vector<float> buffer;
    const T *k = static_cast<const T*>(keys), *v = static_cast<const T*>(values);
    const float* ordered = in_order_of(k, q, 1, head_dim, buffer);
    run_kernel([=]() PRECIS_ALWAYS_INLINE { attend(ordered, k, v, entries, head_dim, scale, scores, out); });
  });
}

}  // namespace precis

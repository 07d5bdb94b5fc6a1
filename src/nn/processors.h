// Building blocks of this module's row kernels: functions compiled for each x86-64 level and selected when the program
// starts, and fp32 and bf16 arithmetic that the compiler vectorises.
#pragma once

#include <ATen/Parallel.h>
#include <c10/core/ScalarType.h>
#include <c10/util/BFloat16.h>

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <limits>

// ThreadSanitizer cannot run code before it is initialised, as the selection would.
#if defined(__x86_64__) && defined(__GNUC__) && !defined(__clang__) && !defined(__SANITIZE_THREAD__)
#define PRECIS_FOR_EACH_PROCESSOR __attribute__((target_clones("arch=x86-64-v4", "arch=x86-64-v3", "default")))
#else
#define PRECIS_FOR_EACH_PROCESSOR
#endif
// Everything that such a function calls must be inlined.
#define PRECIS_ALWAYS_INLINE __attribute__((always_inline))
#define PRECIS_INLINE inline PRECIS_ALWAYS_INLINE

namespace precis {

// kernel(arguments...), compiled for each level. The kernel is a lambda marked PRECIS_ALWAYS_INLINE.
template <class Kernel, class... Arguments>
PRECIS_FOR_EACH_PROCESSOR void run_kernel(const Kernel& kernel, Arguments... arguments) {
  kernel(arguments...);
}

// Runs kernel(begin, end) over ranges of at least `grain` of n rows, on all threads.
template <class Kernel>
void for_rows(int64_t n, int64_t grain, const Kernel& kernel) {
  at::parallel_for(0, n, grain, [&](int64_t begin, int64_t end) { run_kernel(kernel, begin, end); });
}

// f(T()) for the type T of `dtype`, fp32 or bf16.
template <class F>
auto with_type_of(at::ScalarType dtype, const F& f) {
  return dtype == at::kBFloat16 ? f(c10::BFloat16()) : f(float());
}

PRECIS_INLINE float widened(float x) { return x; }
PRECIS_INLINE float widened(c10::BFloat16 x) {
  const uint32_t bits = static_cast<uint32_t>(x.x) << 16;
  float out;
  std::memcpy(&out, &bits, sizeof(out));
  return out;
}

// Rounds to nearest, ties to even; NaN stays NaN. Without branches, unlike c10's conversion.
PRECIS_INLINE void narrow_into(float& to, float value) { to = value; }
PRECIS_INLINE void narrow_into(c10::BFloat16& to, float value) {
  uint32_t bits;
  std::memcpy(&bits, &value, sizeof(bits));
  const uint32_t nearest = (bits + 0x7fffU + ((bits >> 16) & 1U)) >> 16;
  to.x = static_cast<uint16_t>((bits & 0x7fffffffU) > 0x7f800000U ? 0x7fc0U : nearest);
}

// `value` rounded to T.
template <class T>
PRECIS_INLINE float rounded(float value) {
  T kept;
  narrow_into(kept, value);
  return widened(kept);
}

// f(0) + ... + f(n - 1) as several partial sums, so that the compiler can vectorise.
template <class F>
PRECIS_INLINE float sum_of(int64_t n, const F& f) {
  constexpr int64_t lanes = 32;
  float sums[lanes] = {};
  int64_t i = 0;
  for (; i + lanes <= n; i += lanes) {
    for (int64_t j = 0; j < lanes; ++j) sums[j] += f(i + j);
  }
  for (int64_t width = lanes / 2; width > 0; width /= 2) {
    for (int64_t j = 0; j < width; ++j) sums[j] += sums[j + width];
  }
  for (; i < n; ++i) sums[0] += f(i);
  return sums[0];
}

// The maximum of f(0) ... f(n - 1), ignoring NaN; -infinity for n = 0.
template <class F>
PRECIS_INLINE float highest_of(int64_t n, const F& f) {
  constexpr int64_t lanes = 32;
  float highest[lanes];
  std::fill_n(highest, lanes, -std::numeric_limits<float>::infinity());
  int64_t i = 0;
  for (; i + lanes <= n; i += lanes) {
    for (int64_t j = 0; j < lanes; ++j) {
      const float value = f(i + j);
      highest[j] = value > highest[j] ? value : highest[j];
    }
  }
  for (; i < n; ++i) highest[0] = std::max(highest[0], f(i));
  return *std::max_element(highest, highest + lanes);
}

// e^x with relative error 1e-7 (Cephes' polynomial); x is clamped to +-87, NaN stays NaN.
PRECIS_INLINE float exp_in_vectors(float x) {
  x = std::min(std::max(x, -87.0F), 87.0F);  // in this order, else NaN would be clamped
  const float shifted = x * 1.44269504F + 12582912.0F, n = shifted - 12582912.0F;  // the nearest integer
  const float f = (x - n * 0.693359375F) + n * 2.12194440e-4F;                     // x - n ln 2
  float p = 1.9875691500e-4F;
  p = p * f + 1.3981999507e-3F;
  p = p * f + 8.3334519073e-3F;
  p = p * f + 4.1665795894e-2F;
  p = p * f + 1.6666665459e-1F;
  p = p * f + 5.0000001201e-1F;
  uint32_t exponent;  // the integer is in the low bits of `shifted`
  std::memcpy(&exponent, &shifted, sizeof(exponent));
  exponent = (exponent - 0x4b400000U + 127) << 23;
  float power;
  std::memcpy(&power, &exponent, sizeof(power));
  return (p * f * f + f + 1.0F) * power;
}

}  // namespace precis

#include "precis/nn/rope.h"

#include <torch/csrc/autograd/custom_function.h>
#include <torch/types.h>

#include <cmath>
#include <numbers>

#include "processors.h"

namespace precis {

Tensor rope_frequencies(int64_t head_dim, double theta, const RopeScaling& scaling) {
  const Tensor exponents = torch::arange(0, head_dim, 2, torch::kFloat) / static_cast<double>(head_dim);
  Tensor frequencies = 1.0 / torch::pow(theta, exponents);
  if (scaling.type == "linear") return frequencies / scaling.factor;
  if (scaling.type != "llama3") return frequencies;
  // Long wavelengths are stretched by the factor, short ones kept, the range between interpolated (Llama 3.1).
  const double low_wavelength = scaling.original_positions / scaling.low_freq_factor;
  const double high_wavelength = scaling.original_positions / scaling.high_freq_factor;
  const Tensor wavelength = 2 * std::numbers::pi / frequencies;
  const Tensor stretched = torch::where(wavelength > low_wavelength, frequencies / scaling.factor, frequencies);
  const Tensor smooth = (scaling.original_positions / wavelength - scaling.low_freq_factor) /
                        (scaling.high_freq_factor - scaling.low_freq_factor);
  const Tensor blended = (1 - smooth) * stretched / scaling.factor + smooth * stretched;
  const Tensor between = wavelength.ge(high_wavelength).logical_and(wavelength.le(low_wavelength));
  return torch::where(between, blended, stretched);
}

RopeTable rope_table(const Tensor& position_ids, const Tensor& frequencies, at::ScalarType dtype) {
  const Tensor half = position_ids.to(torch::kFloat).unsqueeze(-1) * frequencies;  // [B, T, d/2]
  const Tensor angle = torch::cat({half, half}, -1).unsqueeze(1);                  // [B, 1, T, d]
  return {angle.cos().to(dtype), angle.sin().to(dtype)};
}

Tensor reference_rope(const Tensor& x, const RopeTable& table) {
  const int64_t half = x.size(-1) / 2;
  const Tensor rotated_half = torch::cat({x.narrow(-1, half, half).neg(), x.narrow(-1, 0, half)}, -1);
  return x * table.cos + rotated_half * table.sin;
}

namespace {

// Rows [rows, d] of one head, `step` apart; out contiguous.
template <class T>
struct Head {
  const T *x, *cos, *sin;
  T* out;
  int64_t rows, step, half;
  float direction;
};

// Rotates every pair by its angle, or back (`direction` -1).
template <class T>
PRECIS_INLINE void rotate_rows(const Head<T>& h) {
  for (int64_t t = 0; t < h.rows; ++t) {
    const T *x = h.x + t * h.step, *cos = h.cos + t * 2 * h.half, *sin = h.sin + t * 2 * h.half;
    T* out = h.out + t * 2 * h.half;
    for (int64_t i = 0; i < h.half; ++i)
      narrow_into(out[i], widened(x[i]) * widened(cos[i]) - widened(x[i + h.half]) * h.direction * widened(sin[i]));
    for (int64_t i = 0; i < h.half; ++i) {
      narrow_into(out[i + h.half],
                  widened(x[i + h.half]) * widened(cos[i]) + widened(x[i]) * h.direction * widened(sin[i]));
    }
  }
}

// x [B, H, T, d] with any strides but the last.
template <class T>
void rotate_heads(const Tensor& x, const RopeTable& table, float direction, Tensor& out) {
  const int64_t H = x.size(1), rows = x.size(2), d = x.size(3), table_rows = table.cos.size(0) == 1 ? 0 : rows;
  const T *cos = table.cos.const_data_ptr<T>(), *sin = table.sin.const_data_ptr<T>(), *in = x.const_data_ptr<T>();
  T* to = out.mutable_data_ptr<T>();
  const int64_t batch_step = x.stride(0), head_step = x.stride(1), step = x.stride(2);
  for_rows(x.size(0) * H, 1, [=](int64_t begin, int64_t end) PRECIS_ALWAYS_INLINE {
    for (int64_t bh = begin; bh < end; ++bh) {
      const int64_t b = bh / H;
      rotate_rows(Head<T>{in + b * batch_step + bh % H * head_step, cos + b * table_rows * d, sin + b * table_rows * d,
                          to + bh * rows * d, rows, step, d / 2, direction});
    }
  });
}

// The same with LibTorch's operations, one half at a time.
Tensor rotate_halves(const Tensor& x, const RopeTable& table, double direction) {
  Tensor out = torch::empty(x.sizes(), x.options());
  const int64_t half = x.size(-1) / 2;
  for (const int64_t own : {int64_t{0}, half}) {
    const auto half_from = [half](const Tensor& t, int64_t first) { return t.narrow(-1, first, half); };
    Tensor to = half_from(out, own);
    at::mul_out(to, half_from(x, own), half_from(table.cos, own));
    to.addcmul_(half_from(x, half - own), half_from(table.sin, own), own == 0 ? -direction : direction);
  }
  return out;
}

Tensor rotate(const Tensor& x, const RopeTable& table, float direction) {
  if (!x.device().is_cpu() || (x.scalar_type() != at::kFloat && x.scalar_type() != at::kBFloat16))
    return rotate_halves(x, table, direction);
  const Tensor rows = x.stride(-1) == 1 ? x : x.contiguous();
  Tensor out = torch::empty(x.sizes(), x.options());
  with_type_of(x.scalar_type(), [&]<class T>(T) { rotate_heads<T>(rows, table, direction, out); });
  return out;
}

class Rope : public torch::autograd::Function<Rope> {
 public:
  static Tensor forward(torch::autograd::AutogradContext* context, const Tensor& x, const Tensor& cos,
                        const Tensor& sin) {
    context->save_for_backward({cos, sin});
    return rotate(x, {cos, sin}, 1);
  }
  static torch::autograd::variable_list backward(torch::autograd::AutogradContext* context,
                                                 torch::autograd::variable_list upstream) {
    const auto saved = context->get_saved_variables();
    return {rotate(upstream[0], {saved[0], saved[1]}, -1), Tensor(), Tensor()};
  }
};

}  // namespace

Tensor apply_rope(const Tensor& x, const RopeTable& table) { return Rope::apply(x, table.cos, table.sin); }

}  // namespace precis

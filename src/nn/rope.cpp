#include "precis/nn/rope.h"

#include <torch/csrc/autograd/custom_function.h>
#include <torch/types.h>

#include <algorithm>
#include <cmath>
#include <numbers>

#include "processors.h"

namespace precis {

namespace {

// Llama 3.1: long wavelengths are stretched by the factor, short ones kept, the range between interpolated.
Tensor llama3_scaled(const Tensor& frequencies, const RopeScaling& s) {
  const double low_wavelength = s.original_positions / s.low_freq_factor;
  const double high_wavelength = s.original_positions / s.high_freq_factor;
  const Tensor wavelength = 2 * std::numbers::pi / frequencies;
  const Tensor stretched = torch::where(wavelength > low_wavelength, frequencies / s.factor, frequencies);
  const Tensor smooth =
      (s.original_positions / wavelength - s.low_freq_factor) / (s.high_freq_factor - s.low_freq_factor);
  const Tensor blended = (1 - smooth) * stretched / s.factor + smooth * stretched;
  const Tensor between = wavelength.ge(high_wavelength).logical_and(wavelength.le(low_wavelength));
  return torch::where(between, blended, stretched);
}

// YaRN (arXiv 2309.00071, section 3.2): dimensions that turn often enough keep their frequency, those that turn less
// than `beta_slow` times are interpolated, the ones between blended.
Tensor yarn_scaled(const Tensor& wavelengths, const RopeConfig& config) {
  const RopeScaling& s = config.scaling;
  const auto dims = static_cast<double>(config.dims);
  const auto dimension = [&](double rotations) {
    return dims * std::log(s.original_positions / (rotations * 2 * std::numbers::pi)) / (2 * std::log(config.theta));
  };
  double low = dimension(s.beta_fast), high = dimension(s.beta_slow);
  if (s.truncate) {
    low = std::floor(low);
    high = std::ceil(high);
  }
  low = std::max(low, 0.0);
  high = std::min(high, dims - 1);
  if (low == high) high += 0.001;
  const Tensor ramp = ((torch::arange(config.dims / 2, torch::kFloat) - low) / (high - low)).clamp(0, 1);
  const Tensor kept = 1 - ramp;
  return 1 / (s.factor * wavelengths) * (1 - kept) + 1 / wavelengths * kept;
}

}  // namespace

RopeFrequencies RopeFrequencies::to(at::Device device) const {
  return {inverse.to(device), beyond.defined() ? beyond.to(device) : beyond, original_positions, attention_factor};
}

RopeFrequencies rope_frequencies(const RopeConfig& config) {
  const RopeScaling& s = config.scaling;
  const Tensor exponents = torch::arange(0, config.dims, 2, torch::kFloat) / static_cast<double>(config.dims);
  const Tensor wavelengths = torch::pow(config.theta, exponents);  // over 2 pi
  const auto divided = [&](const Tensor& frequencies, const std::vector<double>& divisors) {
    return divisors.empty() ? frequencies : frequencies / torch::tensor(divisors, torch::kFloat);
  };
  Tensor inverse = 1.0 / wavelengths;
  if (s.type == "linear") inverse = inverse / s.factor;
  if (s.type == "llama3") inverse = llama3_scaled(inverse, s);
  if (s.type == "yarn") inverse = yarn_scaled(wavelengths, config);
  RopeFrequencies out{divided(inverse, s.divisors), {}, static_cast<int64_t>(s.original_positions), s.attention_factor};
  if (!s.long_divisors.empty()) out.beyond = divided(inverse, s.long_divisors);
  return out;
}

RopeTable rotation_table(const Tensor& position_ids, const Tensor& frequencies, at::ScalarType dtype) {
  const Tensor half = position_ids.to(torch::kFloat).unsqueeze(-1) * frequencies;  // [B, T, d/2]
  const Tensor angle = torch::cat({half, half}, -1).unsqueeze(1);                  // [B, 1, T, d]
  return {angle.cos().to(dtype), angle.sin().to(dtype)};
}

RopeTable rope_table(const Tensor& position_ids, const RopeFrequencies& f, at::ScalarType dtype) {
  Tensor frequencies = f.inverse;
  if (f.beyond.defined() && position_ids.size(1) > 0) {
    const Tensor is_long = position_ids.amax(1).ge(f.original_positions).view({-1, 1, 1});
    frequencies = torch::where(is_long, f.beyond, f.inverse);
  }
  if (f.attention_factor == 1) return rotation_table(position_ids, frequencies, dtype);
  const RopeTable table = rotation_table(position_ids, frequencies, torch::kFloat);
  return {(table.cos * f.attention_factor).to(dtype), (table.sin * f.attention_factor).to(dtype)};
}

namespace {

// The rest of a head behind its rotated dimensions, if any.
Tensor with_rest(const Tensor& rotated, const Tensor& x) {
  const int64_t d = rotated.size(-1), rest = x.size(-1) - d;
  return rest == 0 ? rotated : torch::cat({rotated, x.narrow(-1, d, rest)}, -1);
}

}  // namespace

Tensor reference_rope(const Tensor& x, const RopeTable& table) {
  const int64_t d = table.cos.size(-1), half = d / 2;
  const Tensor rows = x.narrow(-1, 0, d);
  const Tensor rotated_half = torch::cat({rows.narrow(-1, half, half).neg(), rows.narrow(-1, 0, half)}, -1);
  return with_rest(rows * table.cos + rotated_half * table.sin, x);
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

Tensor apply_rope(const Tensor& x, const RopeTable& table) {
  const int64_t d = table.cos.size(-1);
  return with_rest(Rope::apply(d == x.size(-1) ? x : x.narrow(-1, 0, d), table.cos, table.sin), x);
}

}  // namespace precis

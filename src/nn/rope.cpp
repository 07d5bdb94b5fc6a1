#include "precis/nn/rope.h"

#include <ATen/Parallel.h>
#include <torch/torch.h>

#include <cmath>
#include <numbers>

namespace precis {

Tensor rope_frequencies(int64_t head_dim, double theta, const RopeScaling& scaling) {
  const Tensor exponents = torch::arange(0, head_dim, 2, torch::kFloat) / static_cast<double>(head_dim);
  Tensor frequencies = 1.0 / torch::pow(theta, exponents);
  if (scaling.type == "linear") return frequencies / scaling.factor;
  if (scaling.type != "llama3") return frequencies;
  // Long wavelengths are stretched by the factor, short ones kept, those between interpolated (Llama 3.1).
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
  const Tensor turned = torch::cat({x.narrow(-1, half, half).neg(), x.narrow(-1, 0, half)}, -1);
  return x * table.cos + turned * table.sin;
}

namespace {

// Turns every pair by its angle, or back (`direction` -1). x [B, H, T, d] with any strides but the last, out
// contiguous.
template <class T>
void turn_rows(const Tensor& x, const RopeTable& table, float direction, Tensor& out) {
  const int64_t H = x.size(1), rows = x.size(2), d = x.size(3), half = d / 2;
  const T *cos = table.cos.const_data_ptr<T>(), *sin = table.sin.const_data_ptr<T>(), *in = x.const_data_ptr<T>();
  const int64_t step_b = x.stride(0), step_h = x.stride(1), step_t = x.stride(2),
                table_rows = table.cos.size(0) == 1 ? 0 : rows;
  T* to = out.mutable_data_ptr<T>();
  at::parallel_for(0, x.size(0) * H, 4, [&](int64_t begin, int64_t end) {
    for (int64_t bh = begin; bh < end; ++bh) {
      const int64_t b = bh / H;
      for (int64_t t = 0; t < rows; ++t) {
        const T* from = in + b * step_b + bh % H * step_h + t * step_t;
        const T *c = cos + (b * table_rows + t) * d, *s = sin + (b * table_rows + t) * d;
        T* row = to + (bh * rows + t) * d;
        for (int64_t i = 0; i < half; ++i) {
          const float first = static_cast<float>(from[i]), second = static_cast<float>(from[i + half]);
          const float ci = static_cast<float>(c[i]), si = direction * static_cast<float>(s[i]);
          row[i] = static_cast<T>(first * ci - second * si);
          row[i + half] = static_cast<T>(second * ci + first * si);
        }
      }
    }
  });
}

Tensor turn(const Tensor& x, const RopeTable& table, float direction) {
  const Tensor rows = x.stride(-1) == 1 ? x : x.contiguous();
  Tensor out = torch::empty(x.sizes(), x.options());
  x.scalar_type() == at::kBFloat16 ? turn_rows<c10::BFloat16>(rows, table, direction, out)
                                   : turn_rows<float>(rows, table, direction, out);
  return out;
}

class Rope : public torch::autograd::Function<Rope> {
 public:
  static Tensor forward(torch::autograd::AutogradContext* context, const Tensor& x, const Tensor& cos,
                        const Tensor& sin) {
    context->save_for_backward({cos, sin});
    return turn(x, {cos, sin}, 1);
  }
  static torch::autograd::variable_list backward(torch::autograd::AutogradContext* context,
                                                 torch::autograd::variable_list upstream) {
    const auto saved = context->get_saved_variables();
    return {turn(upstream[0], {saved[0], saved[1]}, -1), Tensor(), Tensor()};
  }
};

}  // namespace

Tensor apply_rope(const Tensor& x, const RopeTable& table) {
  const bool here = x.device().is_cpu() && (x.scalar_type() == at::kFloat || x.scalar_type() == at::kBFloat16);
  return here ? Rope::apply(x, table.cos, table.sin) : reference_rope(x, table);
}

}  // namespace precis

#include "precis/nn/rope.h"

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
  const Tensor smooth = (scaling.original_positions / wavelength - scaling.low_freq_factor) / (scaling.high_freq_factor - scaling.low_freq_factor);
  const Tensor blended = (1 - smooth) * stretched / scaling.factor + smooth * stretched;
  const Tensor between = wavelength.ge(high_wavelength).logical_and(wavelength.le(low_wavelength));
  return torch::where(between, blended, stretched);
}

RopeTable rope_table(const Tensor& position_ids, const Tensor& frequencies, at::ScalarType dtype) {
  const Tensor half = position_ids.to(torch::kFloat).unsqueeze(-1) * frequencies;  // [B, T, d/2]
  const Tensor angle = torch::cat({half, half}, -1).unsqueeze(1);                  // [B, 1, T, d]
  return {angle.cos().to(dtype), angle.sin().to(dtype)};
}

Tensor apply_rope(const Tensor& x, const RopeTable& table) {
  const int64_t half = x.size(-1) / 2;
  const Tensor turned = torch::cat({x.narrow(-1, half, half).neg(), x.narrow(-1, 0, half)}, -1);
  return x * table.cos + turned * table.sin;
}

}  // namespace precis

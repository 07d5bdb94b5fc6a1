#include "precis/nn/dropout.h"

#include <ATen/CPUGeneratorImpl.h>
#include <ATen/Dispatch.h>
#include <ATen/Parallel.h>
#include <torch/torch.h>

#include <algorithm>
#include <cmath>

#include "precis/core/error.h"

namespace precis {
namespace {

uint64_t mixed(uint64_t z) {
  z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ULL;
  z = (z ^ (z >> 27)) * 0x94d049bb133111ebULL;
  return z ^ (z >> 31);
}

}  // namespace

Tensor dropout_mask(at::IntArrayRef shape, at::Device device, double keep,
                    const std::optional<at::Generator>& generator) {
  const auto options = torch::TensorOptions().device(device);
  if (!device.is_cpu()) return torch::empty(shape, options.dtype(torch::kBool)).bernoulli_(keep, generator);
  at::Generator source = generator ? *generator : at::detail::getDefaultCPUGenerator();
  const uint64_t seed = [&] {
    const std::lock_guard lock(source.mutex());
    return at::check_generator<at::CPUGeneratorImpl>(source)->random64();
  }();
  const auto bound = static_cast<uint64_t>(std::llround(keep * 4294967296.0));
  const Tensor mask = torch::empty({(c10::multiply_integers(shape) + 7) / 8}, options.dtype(torch::kByte));
  auto* bytes = mask.mutable_data_ptr<uint8_t>();
  at::parallel_for(0, mask.numel(), 1024, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) {
      unsigned byte = 0;
      for (unsigned pair = 0; pair < 4; ++pair) {  // two draws a number
        const uint64_t number = mixed(seed + (4 * static_cast<uint64_t>(i) + pair + 1) * 0x9e3779b97f4a7c15ULL);
        byte |= static_cast<unsigned>((number & 0xffffffffULL) < bound) << (2 * pair);
        byte |= static_cast<unsigned>((number >> 32) < bound) << (2 * pair + 1);
      }
      bytes[i] = static_cast<uint8_t>(byte);
    }
  });
  return mask;
}

Tensor kept(const Tensor& mask, const Tensor& x) {
  if (mask.scalar_type() == torch::kBool) return torch::where(mask.view_as(x), x, torch::zeros({}, x.options()));
  check(mask.numel() == (x.numel() + 7) / 8, "dropout: the mask was drawn for another shape");
  const Tensor rows = x.contiguous(), out = torch::empty_like(rows);
  const auto* bytes = mask.const_data_ptr<uint8_t>();
  AT_DISPATCH_FLOATING_TYPES_AND2(at::kBFloat16, at::kHalf, rows.scalar_type(), "kept", [&] {
    const auto* from = rows.const_data_ptr<scalar_t>();
    auto* to = out.mutable_data_ptr<scalar_t>();
    const int64_t n = rows.numel();
    at::parallel_for(0, mask.numel(), 1024, [&](int64_t begin, int64_t end) {
      for (int64_t i = begin; i < end; ++i) {
        const int64_t width = std::min<int64_t>(8, n - 8 * i);
        for (int64_t j = 0; j < width; ++j) {
          const bool keep = ((bytes[i] >> j) & 1) != 0;
          to[8 * i + j] = keep ? from[8 * i + j] : scalar_t(0);
        }
      }
    });
  });
  return out;
}

}  // namespace precis

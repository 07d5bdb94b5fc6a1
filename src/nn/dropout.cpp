#include "precis/nn/dropout.h"

#include <ATen/CPUGeneratorImpl.h>
#include <ATen/Parallel.h>
#include <torch/torch.h>

#include <cmath>

namespace precis {
namespace {

uint64_t mixed(uint64_t z) {
  z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ULL;
  z = (z ^ (z >> 27)) * 0x94d049bb133111ebULL;
  return z ^ (z >> 31);
}

}  // namespace

Tensor dropout_mask(const Tensor& like, double keep, const std::optional<at::Generator>& generator) {
  Tensor mask = torch::empty(like.sizes(), like.options().dtype(torch::kBool));
  if (!like.device().is_cpu()) return mask.bernoulli_(keep, generator);
  at::Generator source = generator ? *generator : at::detail::getDefaultCPUGenerator();
  const uint64_t seed = [&] {
    const std::lock_guard lock(source.mutex());
    return at::check_generator<at::CPUGeneratorImpl>(source)->random64();
  }();
  const auto bound = static_cast<uint64_t>(std::llround(keep * 4294967296.0));
  bool* out = mask.mutable_data_ptr<bool>();
  const int64_t n = mask.numel();
  at::parallel_for(0, (n + 1) / 2, 4096, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) {  // two draws a number
      const uint64_t number = mixed(seed + (static_cast<uint64_t>(i) + 1) * 0x9e3779b97f4a7c15ULL);
      out[2 * i] = (number & 0xffffffffULL) < bound;
      if (2 * i + 1 < n) out[2 * i + 1] = (number >> 32) < bound;
    }
  });
  return mask;
}

}  // namespace precis

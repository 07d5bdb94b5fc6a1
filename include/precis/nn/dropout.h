// Dropout of an adapter's input (LoRA), as a mask.
#pragma once

#include <ATen/core/Tensor.h>

#include <optional>

namespace precis {

using at::Tensor;

// bool of like's shape, true with probability `keep`, on its device. On the CPU the draws are counter-based
// (SplitMix64), seeded by one number of `generator` (undefined: LibTorch's own), so that threads share the work and
// their number changes nothing; LibTorch's draws are serial and cost more than the adapters' products.
Tensor dropout_mask(const Tensor& like, double keep, const std::optional<at::Generator>& generator);

}  // namespace precis

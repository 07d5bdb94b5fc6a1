// Dropout masks for an adapter's input (LoRA).
#pragma once

#include <ATen/core/Tensor.h>

#include <optional>

namespace precis {

using at::Tensor;

// A mask over the n entries of a tensor of `shape`; each is kept with probability `keep`. On the CPU: one bit per
// entry, uint8 [ceil(n / 8)], since masks live until the backward pass. Draws are counter-based (SplitMix64), seeded by
// one number from `generator` (undefined: LibTorch's default), so threads share the work and their number changes
// nothing; LibTorch's own draws are serial and cost more than the adapters' products. On other devices: bool of that
// shape.
Tensor dropout_mask(at::IntArrayRef shape, at::Device device, double keep,
                    const std::optional<at::Generator>& generator);

// x where the mask keeps it, else 0. x must have the number and order of entries that the mask was drawn for.
Tensor kept(const Tensor& mask, const Tensor& x);

// `to` += kept(mask, x), both contiguous and of one dtype.
void add_kept(const Tensor& mask, const Tensor& x, Tensor& to);

}  // namespace precis

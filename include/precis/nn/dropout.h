// Dropout of an adapter's input (LoRA), as a mask.
#pragma once

#include <ATen/core/Tensor.h>

#include <optional>

namespace precis {

using at::Tensor;

// Which of the n entries of a tensor of that shape are kept, each with probability `keep`. On the CPU one bit an entry,
// uint8 [ceil(n / 8)] (masks live until the backward pass), from counter-based draws (SplitMix64) seeded by one number
// of `generator` (undefined: LibTorch's own), so that threads share the work and their number changes nothing;
// LibTorch's draws are serial and cost more than the adapters' products. Elsewhere bool of that shape.
Tensor dropout_mask(at::IntArrayRef shape, at::Device device, double keep,
                    const std::optional<at::Generator>& generator);

// x where the mask keeps it, else 0. x: as many entries as the mask was drawn for, in the same order.
Tensor kept(const Tensor& mask, const Tensor& x);

// `to` += kept(mask, x), both contiguous and of one dtype.
void add_kept(const Tensor& mask, const Tensor& x, Tensor& to);

}  // namespace precis

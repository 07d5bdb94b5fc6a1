// Rotary position embedding, half-split pairs (Su et al., arXiv 2104.09864; Llama's layout in Hugging Face), on all or
// the first dimensions of a head, with the frequency scalings of transformers and llama.cpp. Positions are arbitrary
// ids, not row indices.
#pragma once

#include <ATen/core/Tensor.h>

#include <string>
#include <vector>

namespace precis {

using at::Tensor;

// How frequencies are changed for texts longer than those of pretraining. Fields have transformers' defaults.
struct RopeScaling {
  std::string type =
      "default";  // default | linear | llama3 | yarn (arXiv 2309.00071) | longrope (2402.13753) | dynamic
  double factor = 1;
  double low_freq_factor = 1, high_freq_factor = 4;  // llama3
  double beta_fast = 32, beta_slow = 1;              // yarn: rotations at which interpolation begins and is complete
  bool truncate = true;                              // yarn: the range is widened to whole dimensions
  double original_positions = 8192;                  // llama3, yarn, longrope: the positions of pretraining
  double attention_factor = 1;                       // yarn, longrope: of cosines and sines
  std::vector<double> divisors;                      // of each frequency; empty: none
  std::vector<double> long_divisors;                 // longrope: instead, for texts beyond original_positions
};

struct RopeConfig {
  double theta = 10000;  // base of the wavelengths
  int64_t dims = 0;      // the first dimensions of a head, which are rotated; even
  RopeScaling scaling;
};

struct RopeFrequencies {
  Tensor inverse;  // [d/2] fp32, d the rotated dimensions
  Tensor beyond;   // longrope: instead, for contexts with a position >= original_positions; else undefined
  int64_t original_positions = 0;
  double attention_factor = 1;

  RopeFrequencies to(at::Device device) const;
};

RopeFrequencies rope_frequencies(const RopeConfig& config);

struct RopeTable {
  Tensor cos, sin;  // [B, 1, T, d], the dtype of the rows
};
// Cosines and sines, times the attention factor. With `beyond`, each context takes the frequencies of its last
// position.
RopeTable rope_table(const Tensor& position_ids /* int64 [B, T] */, const RopeFrequencies& frequencies,
                     at::ScalarType dtype);
// The same for one set of frequencies, [d/2] or by context [B, 1, d/2], without the factor: rotations only.
RopeTable rotation_table(const Tensor& position_ids, const Tensor& frequencies, at::ScalarType dtype);

// x [B, H, T, head dimensions], its first d rotated at the table's positions, in one pass.
Tensor apply_rope(const Tensor& x, const RopeTable& table);
Tensor reference_rope(const Tensor& x, const RopeTable& table);  // with LibTorch's differentiable operations

}  // namespace precis

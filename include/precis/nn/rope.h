// Rotary position embedding, half-split pairs (Su et al., arXiv 2104.09864; Llama's layout in Hugging Face), with the
// linear and llama3 frequency scalings. Positions are arbitrary ids, not row indices.
#pragma once

#include <ATen/core/Tensor.h>

#include <string>

namespace precis {

using at::Tensor;

struct RopeScaling {
  std::string type = "default";  // default | linear | llama3
  double factor = 1, low_freq_factor = 1, high_freq_factor = 4, original_positions = 8192;
};

// Inverse frequencies [d/2] fp32 for heads of width d.
Tensor rope_frequencies(int64_t head_dim, double theta, const RopeScaling& scaling);

struct RopeTable {
  Tensor cos, sin;  // [B, 1, T, d], the dtype of the rows
};
RopeTable rope_table(const Tensor& position_ids /* int64 [B, T] */, const Tensor& frequencies, at::ScalarType dtype);

// x [B, H, T, d], rotated at the table's positions, in one pass.
Tensor apply_rope(const Tensor& x, const RopeTable& table);
Tensor reference_rope(const Tensor& x, const RopeTable& table);  // with LibTorch's differentiable operations

}  // namespace precis

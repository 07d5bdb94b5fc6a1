// Attention under a plan. A plan describes the computation instead of a mask matrix: causal and full attention need no
// mask, memory rows are computed by blocks. The dense mask is the slow reference implementation of every other plan.
#pragma once

#include <ATen/core/Tensor.h>

#include <string>

#include "precis/mask/mask_spec.h"

namespace precis {

using at::Tensor;

// Segments padded to one shape, under a mask of methods.md section 2.1, rows in append order.
struct MaskedSegments {
  MaskSpec mask;
  SegmentShape shape;
  Tensor text_lengths, memory_lengths;  // int64 [B]: valid rows of each kind
  Tensor memory_mask;  // bool [B, 1, slots, all rows]: keys of each memory row; undefined: computed chunk by chunk
};

struct AttentionPlan {
  enum class Kind { causal, full, dense, anchors, blocks };
  Kind kind = Kind::causal;
  Tensor mask;            // dense: bool [B or 1, 1, T, S], true = may attend
  Tensor key_lengths;     // full, anchors: int64 [B], later keys are hidden; undefined: no padding
  Tensor anchors;         // anchors: int64 [B, A]; these rows see every key, the others are causal; T means no row
  MaskedSegments blocks;  // blocks
  int64_t first_output_row = 0;  // rows before it are keys and values only (the encoder's last layer)

  static AttentionPlan causal() { return {}; }
  static AttentionPlan full(Tensor key_lengths) { return {.kind = Kind::full, .key_lengths = std::move(key_lengths)}; }
  static AttentionPlan dense(Tensor mask) { return {.kind = Kind::dense, .mask = std::move(mask)}; }
  static AttentionPlan causal_with_anchors(Tensor anchors, Tensor key_lengths) {
    return {.kind = Kind::anchors, .key_lengths = std::move(key_lengths), .anchors = std::move(anchors)};
  }
  static AttentionPlan by_blocks(MaskedSegments blocks) { return {.kind = Kind::blocks, .blocks = std::move(blocks)}; }

  std::string to_string() const;
};

// q [B, H, T, d], k and v [B, K, S, d] with H a multiple of K; returns [B, H, T - first_output_row, d].
// `causal` and `anchors` need T == S: a mask-free causal product is aligned at the first key.
// In a dense mask, every row must see at least one key.
Tensor attend(const Tensor& q, const Tensor& k, const Tensor& v, const AttentionPlan& plan);

// Mask for T rows after `past` cached slots, of which past_lengths[b] are valid. Row t of context b has index
// past_lengths[b] + t and sees keys up to itself, at most `window` of them (0: all). Keys: the slots, then the T rows.
// Returns bool [B, 1, T, past + T].
Tensor causal_mask_after_past(int64_t rows, int64_t past, const Tensor& past_lengths /* int64 [B] */, int64_t window);

// bool [B, n]: index < lengths[b].
Tensor length_mask(const Tensor& lengths, int64_t n);

}  // namespace precis

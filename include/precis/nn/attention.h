// Attention under a plan. A plan says what to run, not which entries a matrix has: causal and full attention need no
// mask, memory rows are computed by blocks. The dense mask is the slow reference twin of every other plan.
#pragma once

#include <ATen/core/Tensor.h>

#include <string>

namespace precis {

using at::Tensor;

// Rows in append order: P prefix rows, text padded to `text` rows, `memory` slots (methods.md section 2.1).
struct BlockLayout {
  int64_t prefix = 0, text = 0, memory = 0;  // rows of each kind
  int64_t chunk = 1, group = 1;              // text rows per chunk c, memory slots per chunk g
  bool text_in_chunks = false;               // text sees the prefix and its own chunk only
  bool text_sees_earlier_memory = false;     // with text_in_chunks: ... and the memory of earlier chunks
  bool memory_sees_prefix = true;
  bool memory_reads_own_chunk = true;  // computed by chunks; else as one product under `memory_mask`
  enum class MemoryToMemory { causal_all, own_group, self_only } memory_to_memory = MemoryToMemory::causal_all;
  Tensor text_lengths;    // int64 [B]: text rows of each context that are no padding
  Tensor memory_lengths;  // int64 [B]
  Tensor memory_mask;     // bool [B, 1, memory, all rows]: what each sees; only where memory_reads_own_chunk is false
};

struct AttentionPlan {
  enum class Kind { causal, full, dense, anchors, blocks };
  Kind kind = Kind::causal;
  Tensor mask;         // dense: bool [B or 1, 1, T, S], true = may attend
  Tensor key_lengths;  // full, anchors: int64 [B], later keys are hidden; undefined: all rows are as long as the batch
  Tensor anchors;      // anchors: int64 [B, A]; these rows see every key, the others are causal; T stands for no row
  BlockLayout blocks;  // blocks
  int64_t first_output_row = 0;  // rows before it give keys and values only (the encoder's last layer)

  static AttentionPlan causal() { return {}; }
  static AttentionPlan full(Tensor key_lengths) { return {.kind = Kind::full, .key_lengths = std::move(key_lengths)}; }
  static AttentionPlan dense(Tensor mask) { return {.kind = Kind::dense, .mask = std::move(mask)}; }
  static AttentionPlan causal_with_anchors(Tensor anchors, Tensor key_lengths) {
    return {.kind = Kind::anchors, .key_lengths = std::move(key_lengths), .anchors = std::move(anchors)};
  }
  static AttentionPlan by_blocks(BlockLayout blocks) { return {.kind = Kind::blocks, .blocks = std::move(blocks)}; }

  std::string to_string() const;
};

// q [B, H, T, d], k and v [B, K, S, d] with H a multiple of K; returns [B, H, T - first_output_row, d].
// `causal` and `anchors` need T == S: a mask-free causal product is aligned at the first key.
// Rows that may see nothing are not allowed in a dense mask.
Tensor attend(const Tensor& q, const Tensor& k, const Tensor& v, const AttentionPlan& plan);

// Mask for T rows behind `past` cached ones: row t of context b stands at index past_lengths[b] + t and sees keys up to
// itself, at most `window` of them (0: all). Keys are `past` slots of which past_lengths[b] count, then the T rows.
// Returns bool [B, 1, T, past + T].
Tensor causal_mask_after_past(int64_t rows, int64_t past, const Tensor& past_lengths /* int64 [B] */, int64_t window);

// bool [B, n]: index < lengths[b].
Tensor length_mask(const Tensor& lengths, int64_t n);

}  // namespace precis

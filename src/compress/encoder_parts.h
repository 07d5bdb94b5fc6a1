// What several compressors build in the same way.
#pragma once

#include "precis/compress/compressor.h"

namespace precis {

// The LoRA set of a config, or null for rank 0.
std::shared_ptr<LoraSet> make_lora(const LoraConfig& config, const Decoder& decoder, at::Generator generator,
                                   bool bound_by_rank = false);

// An empty context is an Error, and one beyond the decoder's positions: the whole context where its memory keeps
// positions of the text, else one segment of it.
void check_contexts(const TokenBatch& context, const Decoder& decoder, const CompressorConfig& config);

// Methods whose memory is soft-prompt rows that count from 0: anything else in the config is an Error.
void require_sequential_embedding(const CompressorConfig& config);

// Batches are padded to a multiple of 16 rows: the matrix kernels are compiled per shape, and so few shapes occur.
int64_t padded_width(int64_t longest);

// Contexts cut into segments of at most `length` tokens, all of one batch in order.
struct SegmentBatch {
  Tensor ids;                           // int64 [n, width], right-padded
  Tensor lengths;                       // int64 [n]
  std::vector<int64_t> context, start;  // which context each belongs to, and tokens of the text before it
};
SegmentBatch cut_segments(const TokenBatch& context, int64_t length);

// Puts the slots of all segments in order of context: fills the memory's lengths and segments; entry (b, j) of the
// result is the flattened index of a slot in [n, padded_slots].
std::vector<std::vector<int64_t>> place_slots(Memory& memory, const SegmentBatch& batch,
                                              const std::vector<int64_t>& slots, int64_t padded_slots);

// int64 [rows] or, padded with `fill`, [B, longest].
Tensor to_tensor(const std::vector<int64_t>& values);
Tensor to_padded_tensor(const std::vector<std::vector<int64_t>>& rows, int64_t fill);

}  // namespace precis

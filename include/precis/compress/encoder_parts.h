// What several compressors build in the same way.
#pragma once

#include "precis/compress/compressor.h"
#include "precis/compress/projector.h"

namespace precis {

// The LoRA set of a config, or null for rank 0.
std::shared_ptr<LoraSet> make_lora(const LoraConfig& config, const Decoder& decoder, at::Generator generator,
                                   bool bound_by_rank = false);

// An empty context is an Error, and one beyond the decoder's positions: the whole context where its memory keeps
// positions of the text, else one segment of it.
void check_contexts(const TokenBatch& context, const Decoder& decoder, const CompressorConfig& config);

// Methods whose memory is soft-prompt rows made from runs of tokens: another carrier or position scheme in the config
// is an Error.
void require_embedding_by_runs(const CompressorConfig& config);

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

// Position ids of rows that stand at the last token of their run: end_of_run(slot, tokens of the segment) counts from
// the segment's first token, and is one behind the run's last.
void place_at_runs(Memory& memory, const SegmentBatch& batch, const std::vector<int64_t>& slots,
                   const std::function<int64_t(int64_t slot, int64_t length)>& end_of_run);

// Means of x [n, L, D] over runs of r tokens, of which lengths[i] count: fp32 [n, ceil(L / r), D]; 0 for empty runs.
Tensor run_means(const Tensor& x, const Tensor& lengths, int64_t r);

// What the decoder reads of `rows`: themselves, through the projector, or, with projector = residual, `base` and the
// projector's output added up.
Tensor projected(const CompressorConfig& config, const Projector* projector, const Tensor& rows, const Tensor& base);

// int64 [rows] or, padded with `fill`, [B, longest].
Tensor to_tensor(const std::vector<int64_t>& values);
Tensor to_padded_tensor(const std::vector<std::vector<int64_t>>& rows, int64_t fill);

}  // namespace precis

// Parts shared by several compressors.
#pragma once

#include "precis/compress/compressor.h"
#include "precis/compress/projector.h"
#include "precis/memory/entries.h"

namespace precis {

// The LoRA set of a config; null for rank 0.
std::shared_ptr<LoraSet> make_lora(const LoraConfig& config, const Decoder& decoder, at::Generator generator,
                                   bool bound_by_rank = false);

// Throws Error for an empty context.
void check_not_empty(const TokenBatch& context);

// Throws Error for an empty context and for one beyond the decoder's positions. The limit applies to the whole context
// if its memory keeps positions of the text, else to one segment.
void check_contexts(const TokenBatch& context, const Decoder& decoder, const CompressorConfig& config);

// For methods whose memory is soft-prompt rows made from runs of tokens: throws Error for another carrier or position
// scheme in the config.
void require_embedding_by_runs(const CompressorConfig& config);

// Pads batches to a multiple of 16 rows. Matrix kernels are compiled per shape; this keeps the number of shapes small.
int64_t padded_width(int64_t longest);

// Contexts split into segments of at most `length` tokens, all in one batch, in order.
struct SegmentBatch {
  Tensor ids;                           // int64 [n, width], right-padded
  Tensor lengths;                       // int64 [n]
  std::vector<int64_t> context, start;  // each segment's context, and tokens of the text before it
};
SegmentBatch cut_segments(const TokenBatch& context, int64_t length);

// Orders the slots of all segments by context and fills the memory's lengths and segments. Entry (b, j) of the result
// is the flattened index of a slot in [n, padded_slots].
std::vector<std::vector<int64_t>> place_slots(Memory& memory, const SegmentBatch& batch,
                                              const std::vector<int64_t>& slots, int64_t padded_slots);

// Sets position ids of rows at the last token of their run. end_of_run(slot, tokens of the segment) counts from the
// segment's first token and is one past the run's last.
void place_at_runs(Memory& memory, const SegmentBatch& batch, const std::vector<int64_t>& slots,
                   const std::function<int64_t(int64_t slot, int64_t length)>& end_of_run);

// Means of x [n, L, D] over runs of r tokens, of which lengths[i] are valid: fp32 [n, ceil(L / r), D]; 0 for empty
// runs.
Tensor run_means(const Tensor& x, const Tensor& lengths, int64_t r);

// The projector of a compressor.projector setting other than ComprExIT's: "mlp" with a norm, "residual" with zeros;
// null for "none".
std::shared_ptr<Projector> make_projector(const std::string& setting, int64_t width, at::Generator generator);

// The decoder's input from `rows`: the rows themselves, the projector's output, or, with projector = residual, `base`
// plus the projector's output.
Tensor projected(const CompressorConfig& config, const Projector* projector, const Tensor& rows, const Tensor& base);

}  // namespace precis

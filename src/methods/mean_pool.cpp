#include "precis/methods/mean_pool.h"

#include <torch/types.h>

#include "precis/compress/encoder_parts.h"
#include "precis/compress/prompt.h"
#include "precis/core/error.h"

namespace precis {

Method MeanPool::about() {
  return {.published = [](CompressorConfig& c) { c.segment_length = 512; },
          .learns =
              [](CompressorConfig& c) {
                c.positions = "chunk_end";
                c.projector = "residual";
              }};
}

MeanPool::MeanPool(const CompressorConfig& c, const Surroundings& surroundings)
    : Compressor(c, surroundings),
      encoder_bos_(use_bos(c.encoder_bos, "encoder_bos")),
      decoder_bos_(use_bos(c.decoder_bos, "decoder_bos")) {
  require_embedding_by_runs(c);
  lora_ = make_lora(c.lora, decoder(), generator());
  if (lora_) register_module("lora", lora_);
  const double deviation =
      decoder().embedding_table().to(torch::kFloat).std().item<double>() * decoder().embedding_scale();
  prompt_rows_ = learned_prompt_rows(deviation);
  projector_ = make_projector(c.projector, decoder().config().hidden, generator());
  if (projector_) register_module("projector", projector_);
}

void MeanPool::set_dropout_generator(const at::Generator& generator) {
  if (lora_) lora_->set_dropout_generator(generator);
}

Memory MeanPool::compress(const TokenBatch& context) {
  check_contexts(context, decoder(), config());
  const SegmentBatch batch = cut_segments(context, config().segment_length);
  const int64_t n = batch.ids.size(0), width = batch.ids.size(1), P = encoder_bos_ ? 1 : 0, r = ratio(),
                slots = (width + r - 1) / r;
  Tensor rows = decoder().embed(batch.ids);
  if (P > 0) rows = torch::cat({decoder().embed(torch::full({n, 1}, surroundings().bos_id, torch::kLong)), rows}, 1);
  const Tensor positions = torch::arange(P + width).unsqueeze(0).expand({n, -1});
  const Tensor states =
      decoder()
          .run({.rows = rows, .position_ids = positions, .plan = AttentionPlan::causal(), .adapters = {lora_.get()}},
               {.first_row = P})
          .rows;  // [n, width, D]

  const Tensor means = run_means(states, batch.lengths, r);  // [n, slots, D]

  std::vector<int64_t> slots_of_segment;
  for (int64_t i = 0; i < n; ++i) slots_of_segment.push_back((batch.lengths[i].item<int64_t>() + r - 1) / r);
  const bool sequential = config().positions == "sequential";
  Memory memory =
      empty_memory(context, {.next = sequential ? MemoryPlacement::Next::rows : MemoryPlacement::Next::source,
                             .before = decoder_bos_ ? 1 : 0,
                             .markers = config().memory_markers});
  const Tensor pooled =
      gather_entries(means, place_slots(memory, batch, slots_of_segment, slots)).to(decoder().dtype());
  if (!sequential) {
    place_at_runs(memory, batch, slots_of_segment,
                  [r](int64_t slot, int64_t length) { return std::min((slot + 1) * r, length); });
  }
  place_memory(memory);
  memory.content = EmbeddingMemory{projected(config(), projector_.get(), pooled, pooled), pooled};
  return memory;
}

DecoderInput MeanPool::prompt(const Memory& memory, const TaskTokens& task) const {
  return embedding_prompt(decoder(), surroundings().bos_id,
                          {decoder_bos_, config().positions == "sequential", prompt_rows_}, memory, task);
}

EncoderView MeanPool::encoder_view(const TokenBatch& context) const {
  const int64_t rows = (encoder_bos_ ? 1 : 0) + std::min(config().segment_length, context.lengths[0].item<int64_t>());
  return {torch::ones({rows, rows}, torch::kBool).tril(), torch::arange(rows)};
}

}  // namespace precis

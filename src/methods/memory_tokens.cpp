#include "precis/methods/memory_tokens.h"
#include "precis/nn/mask_plan.h"

#include <torch/types.h>

#include "precis/compress/encoder_parts.h"
#include "precis/compress/prompt.h"
#include "precis/core/error.h"
#include "precis/core/strings.h"

namespace precis {
namespace {

void check_fields(const CompressorConfig& c) {
  for (const int64_t ratio : c.ratio.values) {
    if (c.chunk % ratio == 0) continue;
    throw Error({.what = "the chunk length is not a multiple of the ratio",
                 .where = "compressor.chunk",
                 .expected = cat("a multiple of ", ratio),
                 .found = cat(c.chunk)});
  }
  const bool is_global = mask_spec(c.mask).memory_to_text == MemoryToText::global;
  if (is_global && c.memory_rows == "shared" && c.positions == "chunk_end") {
    throw Error(
        {.what = "nothing tells the memory rows apart: they share one learned row, one position and the same text",
         .where = "compressor.memory_rows",
         .expected = "per_slot, or compressor.positions = sequential or epl",
         .found = "shared with positions = chunk_end and a mask that shows all text"});
  }
  if (c.memory_markers && (c.positions != "sequential" || c.carrier != "embedding")) {
    throw Error({.what = "memory markers need sequential positions and the embedding carrier",
                 .where = "compressor.memory_markers"});
  }
  if (is_global && c.memory_rows == "per_group") {
    throw Error({.what = "memory rows per group need chunks",
                 .where = "compressor.memory_rows",
                 .expected = "per_slot or shared with a mask that shows all text",
                 .found = c.memory_rows});
  }
  if (c.projector == "residual" && c.slots > 0) {
    throw Error({.what = "a residual projector needs runs of tokens, and a fixed number of slots has none",
                 .where = "compressor.projector",
                 .expected = "none or mlp with compressor.slots",
                 .found = c.projector});
  }
  if (c.carrier == "kv" && c.projector != "none") {
    throw Error({.what = "keys and values have no projector",
                 .where = "compressor.projector",
                 .expected = "none with compressor.carrier = kv",
                 .found = c.projector});
  }
}

// Common to ICAE and 500xCompressor.
void unchunked(CompressorConfig& c) {
  c.mask.preset = "icae";
  c.segment_length = 512;
  c.encoder_bos = "no";
  c.memory_init = "unit";
  c.projector = "none";
  c.lora = {.rank = 128, .alpha = 32, .dropout = 0.05};
}

}  // namespace

Method MemoryTokens::pic() {
  return {.learns = [](CompressorConfig& c) {  // docs/results/soft-rows.md has the measurements
    c.mask.preset = "pic-local";
    c.memory_rows = "shared";
    c.positions = "chunk_end";
    c.projector = "none";
  }};
}

Method MemoryTokens::icae() { return {.published = unchunked}; }  // getao/icae, as run in ComprExIT's code

Method MemoryTokens::x500() {  // ZongqianLi/500xCompressor, as run in ComprExIT's code
  return {.published = [](CompressorConfig& c) {
    unchunked(c);
    c.carrier = "kv";
    c.lora.targets = {"q_proj", "v_proj"};
  }};
}

MemoryTokens::MemoryTokens(const CompressorConfig& c, const Surroundings& surroundings)
    : Compressor(c, surroundings),
      mask_(mask_spec(c.mask)),
      positions_(position_scheme(c.positions)),
      layout_(c.layout == "append" ? Layout::append : Layout::interleave),
      kv_(c.carrier == "kv"),
      encoder_bos_(use_bos(c.encoder_bos, "encoder_bos")),
      decoder_bos_(use_bos(c.decoder_bos, "decoder_bos")) {
  check_fields(c);
  lora_ = make_lora(c.lora, decoder(), generator());
  if (lora_) register_module("lora", lora_);
  const double deviation =
      decoder().embedding_table().to(torch::kFloat).std().item<double>() * decoder().embedding_scale();
  set_ratio(c.ratio.smallest());  // gives the most slots
  const int64_t rows = c.memory_rows == "shared"      ? 1
                       : c.memory_rows == "per_group" ? shape_of(std::max(c.chunk, ratio())).slots
                       : c.memory_row_count > 0       ? c.memory_row_count
                                                      : shape_of(c.segment_length).slots;
  set_ratio(c.ratio);
  memory_rows_ = learned_rows("memory_rows", rows, 0, c.memory_init == "unit" ? 1 : deviation);
  if (kv_) return;
  prompt_rows_ = learned_prompt_rows(deviation);
  projector_ = make_projector(c.projector, decoder().config().hidden, generator());
  if (projector_) register_module("projector", projector_);
}

void MemoryTokens::set_dropout_generator(const at::Generator& generator) {
  if (lora_) lora_->set_dropout_generator(generator);
}

SegmentShape MemoryTokens::shape_of(int64_t text) const {
  const int64_t prefix = encoder_bos_ ? 1 : 0;
  if (chunked()) {
    const int64_t chunk = config().chunk > 0 ? config().chunk : ratio(), group = chunk / ratio();
    return {prefix, text, chunk, group, slots_of(text, chunk, group)};
  }
  const int64_t slots = config().slots > 0 ? config().slots : (text + ratio() - 1) / ratio();
  return {prefix, text, text, slots, slots};
}

SegmentShape MemoryTokens::padded_shape(const std::vector<SegmentShape>& shapes, int64_t width) const {
  SegmentShape padded = shapes.front();
  padded.text = width;
  for (const auto& shape : shapes) padded.slots = std::max(padded.slots, shape.slots);
  if (!chunked()) {
    padded.chunk = padded.text;
    padded.group = padded.slots;
  }
  if (config().memory_rows == "per_slot" && padded.slots > memory_rows_.size(0)) {
    throw Error({.what = "a segment has more slots than there are learned rows",
                 .where = "compressor.memory_row_count",
                 .expected = cat("at least ", padded.slots),
                 .found = cat(memory_rows_.size(0))});
  }
  return padded;
}

DecoderInput MemoryTokens::encoder_pass(const SegmentBatch& batch, const std::vector<SegmentShape>& shapes,
                                        const SegmentShape& padded) const {
  const int64_t n = batch.ids.size(0), P = padded.prefix;
  Tensor positions = torch::zeros({n, padded.rows()}, torch::kLong);
  std::vector<int64_t> slots;
  for (int64_t i = 0; i < n; ++i) {
    const SegmentShape& own = shapes[static_cast<size_t>(i)];
    const std::vector<int64_t> at = encoder_positions(own, positions_, layout_);
    // Positions of key/value memories continue across a context's segments, so that no two entries share one.
    const int64_t offset = kv_ ? batch.start[static_cast<size_t>(i)] : 0;
    for (int64_t row = 0; row < own.rows(); ++row) {
      const int64_t padded_row = row < P + own.text ? row : row - own.text + padded.text;
      positions.data_ptr<int64_t>()[i * padded.rows() + padded_row] = at[static_cast<size_t>(row)] + offset;
    }
    slots.push_back(own.slots);
  }
  std::vector<Tensor> rows;
  if (P > 0) rows.push_back(decoder().embed(torch::full({n, P}, surroundings().bos_id, torch::kLong)));
  rows.push_back(decoder().embed(batch.ids));
  // Slot j uses row j of the table, row j mod g (per_group), or the only row (shared).
  Tensor row_of_slot = torch::arange(padded.slots, memory_rows_.options().dtype(torch::kLong));
  if (config().memory_rows == "shared") row_of_slot.zero_();
  if (config().memory_rows == "per_group") row_of_slot.remainder_(padded.group);
  const Tensor memory = memory_rows_.index_select(0, row_of_slot);
  rows.push_back(memory.to(decoder().dtype()).unsqueeze(0).expand({n, -1, -1}));
  const Tensor text_lengths = batch.lengths.to(decoder().device()),
               memory_lengths = to_tensor(slots).to(decoder().device());
  const AttentionPlan plan = config().attention_path == "dense"
                                 ? dense_plan(mask_, padded, text_lengths, memory_lengths)
                                 : block_plan(mask_, padded, text_lengths, memory_lengths);
  return {.rows = torch::cat(rows, 1), .position_ids = positions, .plan = plan, .adapters = {lora_.get()}};
}

void MemoryTokens::set_positions(Memory& memory, const SegmentBatch& batch,
                                 const std::vector<SegmentShape>& shapes) const {
  if (memory.placement.next == MemoryPlacement::Next::rows) return place_memory(memory);
  std::vector<std::vector<int64_t>> positions(static_cast<size_t>(memory.source_tokens.size(0)));
  for (size_t i = 0; i < shapes.size(); ++i) {
    const std::vector<int64_t> at = encoder_positions(shapes[i], positions_, layout_);
    const int64_t first_slot = shapes[i].prefix + shapes[i].text;
    for (int64_t j = 0; j < shapes[i].slots; ++j) {
      positions[static_cast<size_t>(batch.context[i])].push_back(at[static_cast<size_t>(first_slot + j)] +
                                                                 batch.start[i]);
    }
  }
  memory.position_ids = to_padded_tensor(positions, 0);
  place_memory(memory);
}

MemoryPlacement MemoryTokens::placement() const {
  const bool sequential = positions_ == PositionScheme::sequential;
  if (sequential && !kv_) return {.before = decoder_bos_ ? 1 : 0, .markers = config().memory_markers};
  return {.next = sequential ? MemoryPlacement::Next::source_and_rows : MemoryPlacement::Next::source,
          .before = encoder_bos_ ? 1 : 0};
}

Memory MemoryTokens::compress(const TokenBatch& context) {
  check_contexts(context, decoder(), config());
  const SegmentBatch batch = cut_segments(context, config().segment_length);
  std::vector<SegmentShape> shapes;
  std::vector<int64_t> slots;
  for (int64_t i = 0; i < batch.lengths.size(0); ++i) {
    shapes.push_back(shape_of(batch.lengths[i].item<int64_t>()));
    slots.push_back(shapes.back().slots);
  }
  const SegmentShape padded = padded_shape(shapes, batch.ids.size(1));
  const DecoderInput pass = encoder_pass(batch, shapes, padded);
  Memory memory = empty_memory(context, placement());
  const auto source = place_slots(memory, batch, slots, padded.slots);
  set_positions(memory, batch, shapes);
  const int64_t first_slot = padded.prefix + padded.text;
  if (!kv_) {
    const Tensor rows = gather_entries(decoder().run(pass, {.first_row = first_slot}).rows, source);
    Tensor means;
    if (config().projector == "residual") {
      const Tensor by_run = run_means(decoder().embed(batch.ids), batch.lengths, ratio());
      means = gather_entries(torch::constant_pad_nd(by_run, {0, 0, 0, padded.slots - by_run.size(1)}), source);
    }
    memory.content = EmbeddingMemory{projected(config(), projector_.get(), rows, means), rows};
    return memory;
  }
  const Tensor index = (first_slot + torch::arange(padded.slots)).unsqueeze(0).expand({pass.rows.size(0), -1});
  memory.content = KvMemory{gather_kv_entries(decoder().keys_values(pass, index), source), memory.lengths};
  return memory;
}

DecoderInput MemoryTokens::prompt(const Memory& memory, const TaskTokens& task) const {
  if (!kv_) {
    return embedding_prompt(decoder(), surroundings().bos_id,
                            {decoder_bos_, positions_ == PositionScheme::sequential, prompt_rows_}, memory, task);
  }
  if (task.task == Task::ae && !decoder_bos_) {
    throw Error({.what = "reconstruction from keys and values is prompted by BOS alone",
                 .where = "compressor.decoder_bos",
                 .expected = "yes, with a tokenizer that has BOS",
                 .found = config().decoder_bos});
  }
  return kv_prompt(decoder(), decoder_bos_ ? surroundings().bos_id : -1, memory, task);
}

EncoderView MemoryTokens::encoder_view(const TokenBatch& context) const {
  const SegmentShape shape = shape_of(std::min(config().segment_length, context.lengths[0].item<int64_t>()));
  const std::vector<int64_t> append = encoder_positions(shape, positions_, layout_);
  std::vector<int64_t> positions;
  for (const int64_t row : layout_order(shape, layout_)) positions.push_back(append[static_cast<size_t>(row)]);
  return {dense_mask(mask_, shape, layout_), to_tensor(positions)};
}

std::optional<AttentionView> MemoryTokens::attention_view(const TokenBatch& context) const {
  const int64_t length = std::min(config().segment_length, context.lengths[0].item<int64_t>());
  const SegmentBatch batch =
      cut_segments({context.ids.narrow(0, 0, 1).narrow(1, 0, length), torch::tensor({length})}, length);
  const SegmentShape shape = padded_shape({shape_of(length)}, batch.ids.size(1));
  DecoderInput pass = encoder_pass(batch, {shape_of(length)}, shape);
  pass.plan = dense_plan(mask_, shape, batch.lengths, to_tensor({shape_of(length).slots}));
  AttentionView view{.pass = std::move(pass), .first_memory = shape.prefix + shape.text};
  for (int64_t i = 0; i < shape.rows(); ++i) {
    const int64_t text = i - shape.prefix, slot = i - view.first_memory;
    view.chunk.push_back(text < 0 ? -1 : slot < 0 ? text / shape.chunk : slot / shape.group);
  }
  return view;
}

}  // namespace precis

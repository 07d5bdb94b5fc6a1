#include "precis/methods/sac.h"

#include <torch/types.h>

#include <algorithm>
#include <numeric>

#include "precis/compress/encoder_parts.h"
#include "precis/compress/prompt.h"
#include "precis/core/error.h"
#include "precis/core/hash.h"
#include "precis/core/random.h"
#include "precis/core/strings.h"

namespace precis {

std::vector<int64_t> anchor_rows_of_chunk(int64_t n, int64_t ratio) {
  std::vector<int64_t> rows;
  for (int64_t row = (ratio - 1) / 2; row < n; row += ratio) rows.push_back(row);
  if (rows.empty()) rows.push_back(0);
  return rows;
}

std::vector<int64_t> random_anchor_rows(const int64_t* ids, int64_t n, int64_t ratio) {
  // Seeded by a hash of the text, so that the selection is a pure function of the text.
  Random random(0, hash_hex({reinterpret_cast<const char*>(ids), static_cast<size_t>(n) * sizeof(int64_t)}));
  std::vector<int64_t> rows(static_cast<size_t>(n));
  std::iota(rows.begin(), rows.end(), int64_t{0});
  random.shuffle(rows);
  rows.resize(anchor_rows_of_chunk(n, ratio).size());
  std::sort(rows.begin(), rows.end());
  return rows;
}

Method Sac::about() {  // lx-Meteors/SAC
  return {.settings = MethodSettings::of<SacSettings>("sac"), .published = [](CompressorConfig& c) {
            c.carrier = "kv";
            c.ratio = 5;
            c.segment_length = 510;
            c.encoder_bos = c.decoder_bos = "no";
            c.projector = "none";
            c.lora = {.rank = 128, .alpha = 256, .dropout = 0, .targets = {"q_proj", "v_proj"}};
          }};
}

Sac::Sac(const CompressorConfig& c, const Surroundings& surroundings)
    : Compressor(c, surroundings), settings_(c.settings.get<SacSettings>()) {
  if (c.carrier != "kv")
    throw Error({.what = "SAC's memory is keys and values",
                 .where = "compressor.carrier",
                 .expected = "kv",
                 .found = c.carrier});
  lora_ = make_lora(c.lora, decoder(), generator(), true);
  if (lora_) register_module("lora", lora_);
  if (settings_.anchor_embedding) {
    anchor_rows_ =
        learned_rows("anchor_rows",
                     static_cast<int64_t>(anchor_rows_of_chunk(c.segment_length, c.ratio.smallest()).size()), 0, 0.02);
  }
  const Tensor table = decoder().embedding_table().to(torch::kFloat);
  const double scale = decoder().embedding_scale(), mean = table.mean().item<double>() * scale,
               deviation = table.std().item<double>() * scale;
  lm_row_ = learned_rows("lm_row", 0, mean, deviation);
  ae_row_ = learned_rows("ae_row", 0, mean, deviation);
}

void Sac::set_dropout_generator(const at::Generator& generator) {
  if (lora_) lora_->set_dropout_generator(generator);
}

std::vector<int64_t> Sac::anchor_rows(const Tensor& ids, int64_t n) const {
  return settings_.anchor_selection == "uniform" ? anchor_rows_of_chunk(n, ratio())
                                                 : random_anchor_rows(ids.data_ptr<int64_t>(), n, ratio());
}

AttentionPlan Sac::plan_of(const Tensor& anchors, const Tensor& lengths, int64_t width) const {
  if (settings_.attention == "causal") return AttentionPlan::causal();
  const bool equal = lengths.min().item<int64_t>() == width;
  const Tensor key_lengths = equal ? Tensor() : lengths.to(decoder().device());
  const bool full = settings_.attention == "full";
  if (config().attention_path != "dense") {
    return full ? AttentionPlan::full(key_lengths)
                : AttentionPlan::causal_with_anchors(anchors.to(decoder().device()), key_lengths);
  }
  // The reference implementation: a dense mask. Padding rows see themselves.
  Tensor mask = torch::ones({lengths.size(0), width, width}, torch::kBool);
  if (!full) {
    const Tensor is_anchor =
        torch::zeros({lengths.size(0), width + 1}, torch::kBool).scatter(1, anchors, true).narrow(1, 0, width);
    mask = mask.tril().logical_or(is_anchor.unsqueeze(2));
  }
  mask = mask.logical_and(length_mask(lengths, width).unsqueeze(1)).logical_or(torch::eye(width).to(torch::kBool));
  return AttentionPlan::dense(mask.unsqueeze(1).to(decoder().device()));
}

Memory Sac::compress(const TokenBatch& context) {
  check_contexts(context, decoder(), config());
  const SegmentBatch chunks = cut_segments(context, config().segment_length);
  const int64_t n = chunks.ids.size(0), width = chunks.ids.size(1);
  std::vector<std::vector<int64_t>> anchors_of_chunk, entry_positions(static_cast<size_t>(context.lengths.size(0)));
  std::vector<int64_t> counts;
  Tensor positions = torch::arange(1, width + 1).unsqueeze(0) + to_tensor(chunks.start).unsqueeze(1);
  for (int64_t i = 0; i < n; ++i) {
    const auto chunk = static_cast<size_t>(i);
    anchors_of_chunk.push_back(anchor_rows(chunks.ids[i], chunks.lengths[i].item<int64_t>()));
    counts.push_back(static_cast<int64_t>(anchors_of_chunk.back().size()));
    for (const int64_t row : anchors_of_chunk.back())
      entry_positions[static_cast<size_t>(chunks.context[chunk])].push_back(chunks.start[chunk] + 1 + row);
  }
  const Tensor anchors = to_padded_tensor(anchors_of_chunk, width);  // [n, most]; `width` means no row
  const int64_t most = anchors.size(1);
  Tensor rows = decoder().embed(chunks.ids);
  if (anchor_rows_.defined()) {
    const Tensor marks = anchor_rows_.narrow(0, 0, most).to(rows.scalar_type()).unsqueeze(0).expand({n, -1, -1});
    const Tensor index = anchors.to(rows.device()).unsqueeze(2).expand_as(marks);
    rows = rows +
           torch::zeros({n, width + 1, rows.size(2)}, rows.options()).scatter_add(1, index, marks).narrow(1, 0, width);
  }
  Memory memory = empty_memory(context, {.next = MemoryPlacement::Next::source});
  const auto source = place_slots(memory, chunks, counts, most);
  const DecoderInput pass{.rows = rows,
                          .position_ids = positions,
                          .plan = plan_of(anchors, chunks.lengths, width),
                          .adapters = {lora_.get()}};
  KvMemory kv{gather_kv_entries(decoder().keys_values(pass, anchors.clamp_max(width - 1)), source), memory.lengths};
  memory.position_ids = to_padded_tensor(entry_positions, 0);
  place_memory(memory);
  memory.content = std::move(kv);
  return memory;
}

DecoderInput Sac::prompt(const Memory& memory, const TaskTokens& task) const {
  PromptBuilder builder(decoder(), task);
  const int64_t row = builder.add_rows(task.task == Task::ae ? ae_row_ : lm_row_);
  for (int64_t r = 0; r < builder.rows(); ++r) {
    const int64_t position = task.task == Task::ae ? 0 : memory.next_position[builder.memory_of(r)].item<int64_t>();
    builder.push(r, row, position);
    builder.push_task(r, position + 1);
  }
  return builder.finish(std::get<KvMemory>(memory.content).select(task.memory_index).to(decoder().device()));
}

EncoderView Sac::encoder_view(const TokenBatch& context) const {
  const int64_t n = std::min(config().segment_length, context.lengths[0].item<int64_t>());
  Tensor mask = torch::ones({n, n}, torch::kBool);
  if (settings_.attention != "full") mask = mask.tril();
  if (settings_.attention == "anchors")
    mask.index_fill_(0, to_tensor(anchor_rows(context.ids[0].contiguous(), n)), true);
  return {mask, torch::arange(1, n + 1)};
}

}  // namespace precis

#include "precis/compress/encoder_parts.h"

#include <torch/types.h>

#include <algorithm>

#include "precis/core/error.h"
#include "precis/core/strings.h"

namespace precis {

std::shared_ptr<LoraSet> make_lora(const LoraConfig& config, const Decoder& decoder, at::Generator generator,
                                   bool bound_by_rank) {
  if (config.rank == 0) return nullptr;
  std::vector<LoraTarget> targets;
  for (const auto& shape : decoder.linear_shapes()) {
    if (std::find(config.targets.begin(), config.targets.end(), shape.name) != config.targets.end())
      targets.push_back(shape);
  }
  const LoraOptions options{
      .rank = config.rank, .alpha = config.alpha, .dropout = config.dropout, .bound_by_rank = bound_by_rank};
  return std::make_shared<LoraSet>(decoder.config().layers, targets, options, std::move(generator));
}

void check_not_empty(const TokenBatch& context) {
  for (int64_t b = 0; b < context.lengths.size(0); ++b) {
    if (context.lengths[b].item<int64_t>() == 0)
      throw Error({.what = "an empty context cannot be compressed", .where = cat("context ", b)});
  }
}

void check_contexts(const TokenBatch& context, const Decoder& decoder, const CompressorConfig& config) {
  check_not_empty(context);
  const bool keeps_positions = config.carrier == "kv" || config.positions != "sequential";
  for (int64_t b = 0; b < context.lengths.size(0); ++b) {
    const int64_t length = context.lengths[b].item<int64_t>();
    const int64_t start = context.start.defined() ? context.start[b].item<int64_t>() : 0;
    const int64_t last = keeps_positions ? start + length : std::min(length, config.segment_length);
    if (last > decoder.config().max_positions) {
      throw Error({.what = "the context is longer than the model's positions",
                   .where = cat("context ", b),
                   .expected = cat("at most ", decoder.config().max_positions, " tokens"),
                   .found = cat(last)});
    }
  }
}

void require_embedding_by_runs(const CompressorConfig& c) {
  if (c.carrier != "embedding")
    throw Error({.what = "this method's memory is soft-prompt rows",
                 .where = "compressor.carrier",
                 .expected = "embedding",
                 .found = c.carrier});
  if (c.positions == "epl" || (c.positions != "sequential" && c.memory_markers)) {
    throw Error({.what = "this method's memory is numbered from 0, or placed at the ends of its runs without markers",
                 .where = "compressor.positions",
                 .expected = "sequential or chunk_end",
                 .found = c.positions});
  }
}

void place_at_runs(Memory& memory, const SegmentBatch& batch, const std::vector<int64_t>& slots,
                   const std::function<int64_t(int64_t slot, int64_t length)>& end_of_run) {
  std::vector<std::vector<int64_t>> positions(static_cast<size_t>(memory.source_tokens.size(0)));
  for (size_t i = 0; i < slots.size(); ++i) {
    const int64_t length = batch.lengths[static_cast<int64_t>(i)].item<int64_t>();
    for (int64_t j = 0; j < slots[i]; ++j)
      positions[static_cast<size_t>(batch.context[i])].push_back(memory.placement.before + batch.start[i] +
                                                                 end_of_run(j, length) - 1);
  }
  memory.position_ids = to_padded_tensor(positions, 0);
}

Tensor run_means(const Tensor& x, const Tensor& lengths, int64_t r) {
  const int64_t width = x.size(1), runs = (width + r - 1) / r;
  const Tensor valid = length_mask(lengths.to(x.device()), width).unsqueeze(2).to(torch::kFloat);
  const auto by_run = [&](const Tensor& rows) {
    return torch::constant_pad_nd(rows, {0, 0, 0, runs * r - width}).unflatten(1, {runs, r}).sum(2);
  };
  return by_run(x.to(torch::kFloat) * valid) / by_run(valid).clamp_min(1);
}

std::shared_ptr<Projector> make_projector(const std::string& setting, int64_t width, at::Generator generator) {
  if (setting == "none") return nullptr;
  return setting == "residual" ? Projector::zero(width, std::move(generator))
                               : Projector::with_norm(width, std::move(generator));
}

Tensor projected(const CompressorConfig& config, const Projector* projector, const Tensor& rows, const Tensor& base) {
  if (projector == nullptr) return rows;
  const Tensor made = projector->forward(rows);
  return config.projector == "residual" ? base.to(made.scalar_type()) + made : made;
}

int64_t padded_width(int64_t longest) { return (longest + 15) / 16 * 16; }

SegmentBatch cut_segments(const TokenBatch& context, int64_t length) {
  SegmentBatch batch;
  std::vector<int64_t> lengths, first;
  for (int64_t b = 0; b < context.lengths.size(0); ++b) {
    const int64_t total = context.lengths[b].item<int64_t>(),
                  before = context.start.defined() ? context.start[b].item<int64_t>() : 0;
    for (int64_t begin = 0; begin < total; begin += length) {
      batch.context.push_back(b);
      first.push_back(begin);
      batch.start.push_back(before + begin);
      lengths.push_back(std::min(length, total - begin));
    }
  }
  batch.lengths = to_tensor(lengths);
  const int64_t width = padded_width(*std::max_element(lengths.begin(), lengths.end()));
  batch.ids = torch::zeros({static_cast<int64_t>(lengths.size()), width}, torch::kLong);
  for (size_t i = 0; i < lengths.size(); ++i) {
    batch.ids[static_cast<int64_t>(i)]
        .narrow(0, 0, lengths[i])
        .copy_(context.ids[batch.context[i]].narrow(0, first[i], lengths[i]));
  }
  return batch;
}

std::vector<std::vector<int64_t>> place_slots(Memory& memory, const SegmentBatch& batch,
                                              const std::vector<int64_t>& slots, int64_t padded_slots) {
  const auto B = static_cast<size_t>(memory.source_tokens.size(0));
  std::vector<std::vector<int64_t>> source(B), segments(B);
  std::vector<int64_t> lengths(B, 0), count(B, 0);
  for (size_t i = 0; i < slots.size(); ++i) {
    const auto b = static_cast<size_t>(batch.context[i]);
    for (int64_t j = 0; j < slots[i]; ++j) {
      source[b].push_back(static_cast<int64_t>(i) * padded_slots + j);
      segments[b].push_back(count[b]);
    }
    ++count[b];
    lengths[b] += slots[i];
  }
  memory.lengths = to_tensor(lengths);
  memory.segments = to_padded_tensor(segments, -1);
  return source;
}

}  // namespace precis

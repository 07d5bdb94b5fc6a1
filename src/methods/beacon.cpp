#include "precis/methods/beacon.h"

#include <ATen/CPUGeneratorImpl.h>
#include <torch/types.h>

#include <algorithm>
#include <numeric>

#include "precis/compress/encoder_parts.h"
#include "precis/compress/prompt.h"
#include "precis/core/error.h"
#include "precis/core/strings.h"

namespace precis {

Method Beacon::about() {  // as run in ComprExIT's code
  return {.settings = MethodSettings::of<BeaconSettings>("beacon"), .published = [](CompressorConfig& c) {
            c.carrier = "kv";
            c.layout = "interleave";
            c.segment_length = 64;
            c.encoder_bos = c.decoder_bos = "no";
            c.projector = "none";
            // The authors train full copies of the three matrices; adapters are [ours].
            c.lora = {.rank = 128, .alpha = 128, .dropout = 0, .targets = {"q_proj", "k_proj", "v_proj"}};
          }};
}

Beacon::Beacon(const CompressorConfig& c, const Surroundings& surroundings)
    : Compressor(c, surroundings), settings_(c.settings.get<BeaconSettings>()) {
  const auto refuse = [](const char* what, const char* key, const char* expected, const std::string& found) {
    throw Error({.what = what, .where = cat("compressor.", key), .expected = expected, .found = found});
  };
  if (c.carrier != "kv") refuse("Activation Beacon's memory is keys and values", "carrier", "kv", c.carrier);
  if (c.positions != "sequential")
    refuse("beacons are numbered one after the other", "positions", "sequential", c.positions);
  lora_ = make_lora(c.lora, decoder(), generator());
  if (lora_) register_module("lora", lora_);
  const Tensor table = decoder().embedding_table().to(torch::kFloat);
  const double deviation = table.std().item<double>() * decoder().embedding_scale();
  beacon_row_ = learned_rows("beacon_row", 0, 0, deviation);
  ae_row_ = learned_rows("ae_row", 0, 0, deviation);
  if (surroundings.bos_id < 0) return;
  const at::NoGradGuard no_gradient;
  beacon_row_.copy_(table[surroundings.bos_id] * decoder().embedding_scale());
}

void Beacon::set_dropout_generator(const at::Generator& generator) {
  draws_ = generator;
  if (lora_) lora_->set_dropout_generator(generator);
}

Beacon::Rows Beacon::rows_of(const TokenBatch& context, int64_t start, int64_t ratio) const {
  const int64_t B = context.lengths.size(0), width = context.ids.size(1);
  const bool interleave = config().layout == "interleave";
  std::vector<std::vector<int64_t>> ids(static_cast<size_t>(B)), beacons(ids);
  std::vector<int64_t> lengths;
  for (int64_t b = 0; b < B; ++b) {
    auto& own = ids[static_cast<size_t>(b)];
    auto& places = beacons[static_cast<size_t>(b)];
    const int64_t n = std::clamp<int64_t>(context.lengths[b].item<int64_t>() - start, 0, config().segment_length);
    const int64_t* tokens = context.ids.data_ptr<int64_t>() + b * width + start;
    const auto add_beacon = [&] {
      places.push_back(static_cast<int64_t>(own.size()));
      own.push_back(0);
    };
    for (int64_t t = 0; t < n; ++t) {
      own.push_back(tokens[t]);
      if (interleave && ((t + 1) % ratio == 0 || t + 1 == n)) add_beacon();
    }
    for (int64_t j = 0; !interleave && j * ratio < n; ++j) add_beacon();
    lengths.push_back(static_cast<int64_t>(own.size()));
  }
  Rows rows{to_padded_tensor(ids, 0), {}, to_tensor(lengths), std::move(beacons)};
  const int64_t T = rows.ids.size(1);
  rows.is_beacon =
      torch::zeros({B, T + 1}, torch::kBool).scatter(1, to_padded_tensor(rows.beacons, T), true).narrow(1, 0, T);
  return rows;
}

int64_t Beacon::chunk_ratio() {
  const auto& ratios = config().ratio.values;
  if (!is_training() || ratios.size() == 1 || settings_.ratio_draw == "batch" || !draws_) return ratio();
  const int64_t drawn = torch::randint(static_cast<int64_t>(ratios.size()), {1}, *draws_).item<int64_t>();
  return ratios[static_cast<size_t>(drawn)];
}

Memory Beacon::read(const Memory* before, const TokenBatch& given) {
  const TokenBatch context{given.ids.contiguous(), given.lengths.cpu(), {}};
  check_not_empty(context);
  const int64_t B = context.lengths.size(0), longest = context.lengths.max().item<int64_t>();
  const at::Device device = decoder().device();
  PastKeyValues past{{}, torch::zeros({B}, torch::kLong)};  // what the next chunk reads: all beacons so far
  if (before != nullptr) past = {std::get<KvMemory>(before->content).to(device).layers, before->lengths.cpu()};
  const Tensor first = past.lengths;
  std::vector<std::vector<int64_t>> segments(static_cast<size_t>(B));
  for (int64_t start = 0; start < longest; start += config().segment_length) {
    const Rows chunk = rows_of(context, start, chunk_ratio());
    const int64_t T = chunk.ids.size(1), rows_so_far = (past.lengths + chunk.lengths).max().item<int64_t>();
    if (rows_so_far > decoder().config().max_positions) {
      throw Error({.what = "the beacons and the next chunk are more rows than the model has positions",
                   .where = cat("context, from token ", start),
                   .expected = cat("at most ", decoder().config().max_positions),
                   .found = cat(rows_so_far),
                   .hint = "a higher compressor.ratio leaves fewer beacons"});
    }
    const Tensor is_beacon = chunk.is_beacon.to(device);
    const Tensor rows =
        torch::where(is_beacon.unsqueeze(2), beacon_row_.to(decoder().dtype()), decoder().embed(chunk.ids));
    const Tensor index = to_padded_tensor(chunk.beacons, 0);
    DecoderInput pass{.rows = rows,
                      .lengths = chunk.lengths,
                      .position_ids = past.lengths.unsqueeze(1) + torch::arange(T),
                      .adapters = {lora_.get(), is_beacon}};
    if (!past.layers.empty()) pass.past = past;
    std::vector<LayerKv> made = decoder().keys_values(pass, index);
    // In front of later chunks and of the decoder, beacons stand side by side.
    const Tensor shift = torch::arange(index.size(1)) - index;
    for (size_t i = 0; i < made.size(); ++i)
      made[i].k = decoder().rotate_keys(static_cast<int64_t>(i), made[i].k, shift);
    const int64_t held = past.layers.empty() ? 0 : past.entries(), all = held + index.size(1);
    std::vector<std::vector<int64_t>> entries(static_cast<size_t>(B));
    std::vector<int64_t> lengths;
    for (int64_t b = 0; b < B; ++b) {
      auto& own = entries[static_cast<size_t>(b)];
      const size_t made_here = chunk.beacons[static_cast<size_t>(b)].size();
      const auto length = static_cast<size_t>(past.lengths[b].item<int64_t>());
      own.resize(length + made_here);
      std::iota(own.begin(), own.begin() + static_cast<int64_t>(length), b * all);
      std::iota(own.begin() + static_cast<int64_t>(length), own.end(), b * all + held);
      lengths.push_back(static_cast<int64_t>(own.size()));
      segments[static_cast<size_t>(b)].resize(segments[static_cast<size_t>(b)].size() + made_here,
                                              start / config().segment_length);
    }
    for (size_t i = 0; i < made.size() && held > 0; ++i) {
      made[i] = {torch::cat({past.layers[i].k, made[i].k}, 2), torch::cat({past.layers[i].v, made[i].v}, 2)};
    }
    past = {gather_kv_entries(made, entries), to_tensor(lengths)};
  }
  Memory memory = empty_memory(context);
  memory.lengths = past.lengths - first;
  memory.segments = to_padded_tensor(segments, -1);
  place_memory(memory);
  std::vector<std::vector<int64_t>> own(static_cast<size_t>(B));
  for (int64_t b = 0; b < B; ++b) {
    own[static_cast<size_t>(b)].resize(static_cast<size_t>(memory.lengths[b].item<int64_t>()));
    std::iota(own[static_cast<size_t>(b)].begin(), own[static_cast<size_t>(b)].end(),
              b * past.entries() + first[b].item<int64_t>());
  }
  memory.content = KvMemory{before == nullptr ? past.layers : gather_kv_entries(past.layers, own), memory.lengths};
  return memory;
}

DecoderInput Beacon::prompt(const Memory& memory, const TaskTokens& task) const {
  PromptBuilder builder(decoder(), task);
  const int64_t ae = task.task == Task::ae ? builder.add_rows(ae_row_) : -1;
  for (int64_t r = 0; r < builder.rows(); ++r) {
    int64_t next = memory.next_position[builder.memory_of(r)].item<int64_t>();
    if (ae >= 0) builder.push(r, ae, next++);
    builder.push_task(r, next);
  }
  return builder.finish(std::get<KvMemory>(memory.content).select(task.memory_index).to(decoder().device()));
}

EncoderView Beacon::encoder_view(const TokenBatch& context) const {
  const Rows chunk = rows_of({context.ids.narrow(0, 0, 1).contiguous(), context.lengths.narrow(0, 0, 1)}, 0, ratio());
  const int64_t n = chunk.lengths.item<int64_t>();
  return {torch::ones({n, n}, torch::kBool).tril(), torch::arange(n)};
}

}  // namespace precis

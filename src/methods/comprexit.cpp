#include "precis/methods/comprexit.h"

#include <torch/types.h>

#include "precis/compress/encoder_parts.h"
#include "precis/compress/prompt.h"
#include "precis/core/error.h"
#include "precis/core/strings.h"

namespace precis {

namespace {

void check_fields(const CompressorConfig& c, int64_t window) {
  require_embedding_by_runs(c);
  for (const int64_t ratio : c.ratio.values) {
    if (ratio <= window) continue;
    throw Error({.what = "the ratio is larger than the transport window",
                 .where = "compressor.ratio",
                 .expected = cat("at most ", window),
                 .found = cat(ratio)});
  }
}

}  // namespace

Method Comprexit::about() {
  return {.about = "rows transported from all layers of the frozen decoder (ComprExIT, arXiv 2602.03784)",
          .settings = MethodSettings::of<ComprexitSettings>("comprexit"),
          .published =
              [](CompressorConfig& c) {  // Jiangnan0522/ComprExIT
                c.segment_length = 512;
                c.encoder_bos = "no";
                c.lora.rank = 0;
              },
          .learns = [](CompressorConfig& c) {  // docs/results/soft-rows.md has the measurements
            c.settings.get<ComprexitSettings>().locality = 1;
            c.settings.get<ComprexitSettings>().value_init = "identity";
            c.positions = "chunk_end";
            c.projector = "residual";
          }};
}

Comprexit::Comprexit(const CompressorConfig& c, const Surroundings& surroundings)
    : Compressor(c, surroundings),
      settings_(c.settings.get<ComprexitSettings>()),
      decoder_bos_(use_bos(c.decoder_bos, "decoder_bos")) {
  check_fields(c, settings_.window);
  const int64_t all = decoder().config().layers, D = decoder().config().hidden;
  layers_ = settings_.top_k_layers < 0 ? all : settings_.top_k_layers;
  if (layers_ > all) {
    throw Error({.what = "more layers than the decoder has",
                 .where = "compressor.comprexit.top_k_layers",
                 .expected = cat("at most ", all),
                 .found = cat(layers_)});
  }
  gate_ =
      std::make_shared<DepthwiseGate>(layers_ + 1, D, settings_.gate_width, settings_.gate_temperature, generator());
  if (settings_.value_init == "identity") gate_->begin_as_identity();
  register_module("gate", gate_);
  const TransportOptions options{.window = settings_.window,
                                 .ratio = c.ratio,
                                 .metric_width = settings_.metric_width,
                                 .iterations = settings_.sinkhorn_iterations,
                                 .epsilon = settings_.epsilon,
                                 .mass_floor = settings_.mass_floor,
                                 .mass_temperature = settings_.mass_temperature,
                                 .locality = settings_.locality,
                                 .identity = settings_.value_init == "identity"};
  transport_ = std::make_shared<WidthwiseTransport>(D, options, generator());
  for (const auto& part : transport_->named_children())
    register_module(part.key(), part.value());  // "cost", "mass", "value"
  if (c.projector == "mlp") projector_ = register_module("projector", Projector::xavier(D, generator()));
  if (c.projector == "residual") projector_ = register_module("projector", Projector::zero(D, generator()));
}

void Comprexit::set_ratio(int64_t ratio) {
  Compressor::set_ratio(ratio);
  transport_->set_ratio(ratio);
}

struct Comprexit::Moved {
  SegmentBatch batch;
  GateOutput gated;
  TransportOutput transport;
};

Comprexit::Moved Comprexit::move(const TokenBatch& context) const {
  check_contexts(context, decoder(), config());
  Moved out{.batch = cut_segments(context, config().segment_length)};
  {
    std::vector<Tensor> states;
    {
      const at::NoGradGuard frozen;
      const Tensor& ids = out.batch.ids;
      const Tensor positions = torch::arange(ids.size(1)).unsqueeze(0).expand({ids.size(0), -1});
      states = decoder().hidden_states(
          {.rows = decoder().embed(ids), .position_ids = positions, .plan = AttentionPlan::causal()}, layers_);
    }
    out.gated = gate_->forward(states);
  }
  out.transport = transport_->forward(out.gated.x, out.batch.lengths);
  return out;
}

Memory Comprexit::remember(const TokenBatch& context, const Moved& moved, Slots& source) const {
  const TransportOutput& t = moved.transport;
  std::vector<int64_t> slots;
  for (int64_t i = 0; i < moved.batch.ids.size(0); ++i)
    slots.push_back(transport_->slots_of(moved.batch.lengths[i].item<int64_t>()));
  const bool sequential = config().positions == "sequential";
  Memory memory =
      empty_memory(context, {.next = sequential ? MemoryPlacement::Next::rows : MemoryPlacement::Next::source,
                             .before = decoder_bos_ ? 1 : 0});
  source = place_slots(memory, moved.batch, slots, t.plan.size(1) * t.plan.size(3));
  const Tensor rows = gather_entries(t.slots.flatten(1, 2), source);
  memory.content = EmbeddingMemory{projected(config(), projector_.get(), rows, rows), rows};
  if (!sequential) {
    place_at_runs(memory, moved.batch, slots,
                  [&](int64_t slot, int64_t length) { return std::min(transport_->end_of_run(slot), length); });
  }
  place_memory(memory);
  return memory;
}

Memory Comprexit::compress(const TokenBatch& context) {
  Slots source;
  return remember(context, move(context), source);
}

Comprexit::Explanation Comprexit::explain(const TokenBatch& context) const {
  const Moved moved = move(context);
  const TransportOutput& t = moved.transport;
  const int64_t n = moved.batch.ids.size(0), width = moved.batch.ids.size(1), W = settings_.window;
  Slots slots, tokens(static_cast<size_t>(context.lengths.size(0))), windows = tokens;
  for (int64_t i = 0; i < n; ++i) {
    const auto b = static_cast<size_t>(moved.batch.context[static_cast<size_t>(i)]);
    const int64_t length = moved.batch.lengths[i].item<int64_t>();
    for (int64_t j = 0; j < length; ++j) tokens[b].push_back(i * width + j);
    for (int64_t w = 0; w * W < length; ++w) windows[b].push_back(i * t.plan.size(1) + w);
  }
  Explanation out{.memory = remember(context, moved, slots)};
  out.x = gather_entries(moved.gated.x, tokens);
  out.gate = gather_entries(moved.gated.gate, tokens);
  out.seeds = gather_entries(t.seeds.flatten(1, 2), slots);
  out.cost = gather_entries(t.cost, windows);
  out.mass = gather_entries(t.mass, windows);
  out.target = gather_entries(t.target, windows);
  out.plan = gather_entries(t.plan, windows);
  return out;
}

DecoderInput Comprexit::prompt(const Memory& memory, const TaskTokens& task) const {
  if (task.task == Task::ae)
    throw Error({.what = "ComprExIT has no reconstruction objective", .where = "train.objectives.ae", .expected = "0"});
  return embedding_prompt(decoder(), surroundings().bos_id,
                          {.bos = decoder_bos_, .sequential = config().positions == "sequential"}, memory, task);
}

}  // namespace precis

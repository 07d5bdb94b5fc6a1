#include "precis/compress/comprexit.h"

#include <torch/torch.h>

#include "encoder_parts.h"
#include "precis/compress/prompt.h"
#include "precis/core/error.h"
#include "precis/core/strings.h"

namespace precis {

Comprexit::Comprexit(const CompressorConfig& c, const Surroundings& surroundings)
    : Compressor(c, surroundings), decoder_bos_(use_bos(c.decoder_bos, "decoder_bos")) {
  require_sequential_embedding(c);
  if (c.ratio > c.comprexit.window) {
    throw Error({.what = "the ratio is larger than the transport window",
                 .where = "compressor.ratio",
                 .expected = cat("at most ", c.comprexit.window),
                 .found = cat(c.ratio)});
  }
  const int64_t all = decoder().config().layers, D = decoder().config().hidden;
  layers_ = c.comprexit.top_k_layers < 0 ? all : c.comprexit.top_k_layers;
  if (layers_ > all) {
    throw Error({.what = "more layers than the decoder has",
                 .where = "compressor.comprexit.top_k_layers",
                 .expected = cat("at most ", all),
                 .found = cat(layers_)});
  }
  gate_ = std::make_shared<DepthwiseGate>(layers_ + 1, D, c.comprexit.gate_width, c.comprexit.gate_temperature,
                                          generator());
  register_module("gate", gate_);
  const TransportOptions options{.window = c.comprexit.window,
                                 .ratio = c.ratio,
                                 .metric_width = c.comprexit.metric_width,
                                 .iterations = c.comprexit.sinkhorn_iterations,
                                 .epsilon = c.comprexit.epsilon,
                                 .mass_floor = c.comprexit.mass_floor,
                                 .mass_temperature = c.comprexit.mass_temperature};
  transport_ = std::make_shared<WidthwiseTransport>(D, options, generator());
  for (const auto& part : transport_->named_children())
    register_module(part.key(), part.value());  // "cost", "mass", "value"
  if (c.projector == "mlp") projector_ = register_module("projector", Projector::xavier(D, generator()));
}

Comprexit::Explanation Comprexit::explain(const TokenBatch& context) const {
  check_contexts(context, decoder(), config());
  const SegmentBatch batch = cut_segments(context, config().segment_length);
  const int64_t n = batch.ids.size(0), width = batch.ids.size(1), W = config().comprexit.window;
  std::vector<Tensor> states;
  {
    const torch::NoGradGuard frozen;
    const Tensor positions = torch::arange(width).unsqueeze(0).expand({n, -1});
    states = decoder().hidden_states({decoder().embed(batch.ids), positions, AttentionPlan::causal()}, layers_);
  }
  const GateOutput gated = gate_->forward(states);
  const TransportOutput moved = transport_->forward(gated.x, batch.lengths);
  const int64_t windows = moved.cost.size(1), M = moved.cost.size(3);

  std::vector<std::vector<int64_t>> tokens(static_cast<size_t>(context.lengths.size(0))), window_of = tokens;
  std::vector<int64_t> slots;
  for (int64_t i = 0; i < n; ++i) {
    const auto b = static_cast<size_t>(batch.context[static_cast<size_t>(i)]);
    const int64_t length = batch.lengths[i].item<int64_t>();
    for (int64_t t = 0; t < length; ++t) tokens[b].push_back(i * width + t);
    for (int64_t w = 0; w * W < length; ++w) window_of[b].push_back(i * windows + w);
    slots.push_back(transport_->slots_of(length));
  }
  Explanation out;
  out.memory = empty_memory(context, {.before = decoder_bos_ ? 1 : 0});
  const auto source = place_slots(out.memory, batch, slots, windows * M);
  out.x = gather_entries(gated.x, tokens);
  out.gate = gather_entries(gated.gate, tokens);
  out.seeds = gather_entries(moved.seeds.flatten(1, 2), source);
  out.cost = gather_entries(moved.cost, window_of);
  out.mass = gather_entries(moved.mass, window_of);
  out.target = gather_entries(moved.target, window_of);
  out.plan = gather_entries(moved.plan, window_of);
  const Tensor rows = gather_entries(moved.slots.flatten(1, 2), source);
  place_memory(out.memory);
  out.memory.content = EmbeddingMemory{projector_ ? projector_->forward(rows) : rows, rows};
  return out;
}

Memory Comprexit::compress(const TokenBatch& context) { return explain(context).memory; }

DecoderInput Comprexit::prompt(const Memory& memory, const TaskTokens& task) const {
  if (task.task == Task::ae)
    throw Error({.what = "ComprExIT has no reconstruction objective", .where = "train.objectives.ae", .expected = "0"});
  return embedding_prompt(decoder(), surroundings().bos_id, {.bos = decoder_bos_}, memory, task);
}

}  // namespace precis

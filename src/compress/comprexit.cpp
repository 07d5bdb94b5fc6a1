#include "precis/compress/comprexit.h"

#include <torch/torch.h>

#include "encoder_parts.h"
#include "precis/compress/prompt.h"
#include "precis/core/error.h"
#include "precis/core/strings.h"

namespace precis {

namespace {

void check_fields(const CompressorConfig& c) {
  if (c.carrier == "embedding") {
    require_sequential_embedding(c);
  } else if (c.positions == "sequential") {
    throw Error({.what = "keys and values of the frozen pass keep positions of the text",
                 .where = "compressor.positions",
                 .expected = "epl or chunk_end with compressor.carrier = kv",
                 .found = c.positions});
  } else if (c.projector != "none") {
    throw Error({.what = "keys and values have no projector",
                 .where = "compressor.projector",
                 .expected = "none with compressor.carrier = kv",
                 .found = c.projector});
  }
  for (const int64_t ratio : c.ratio.values) {
    if (ratio <= c.comprexit.window) continue;
    throw Error({.what = "the ratio is larger than the transport window",
                 .where = "compressor.ratio",
                 .expected = cat("at most ", c.comprexit.window),
                 .found = cat(ratio)});
  }
}

}  // namespace

Comprexit::Comprexit(const CompressorConfig& c, const Surroundings& surroundings)
    : Compressor(c, surroundings),
      kv_(c.carrier == "kv"),
      decoder_bos_(use_bos(c.decoder_bos, "decoder_bos")),
      positions_(position_scheme(c.positions)) {
  check_fields(c);
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
                                 .mass_temperature = c.comprexit.mass_temperature,
                                 .values = !kv_};
  transport_ = std::make_shared<WidthwiseTransport>(D, options, generator());
  for (const auto& part : transport_->named_children())
    register_module(part.key(), part.value());  // "cost", "mass", "value"
  if (c.projector == "mlp") projector_ = register_module("projector", Projector::xavier(D, generator()));
}

void Comprexit::set_ratio(int64_t ratio) {
  Compressor::set_ratio(ratio);
  transport_->set_ratio(ratio);
}

struct Comprexit::Moved {
  SegmentBatch batch;
  Decoder::StatesAndKv frozen;
  GateOutput gated;
  TransportOutput transport;
};

Comprexit::Moved Comprexit::move(const TokenBatch& context) const {
  check_contexts(context, decoder(), config());
  Moved out{.batch = cut_segments(context, config().segment_length)};
  {
    const torch::NoGradGuard frozen;
    const Tensor& ids = out.batch.ids;
    const Tensor positions = torch::arange(ids.size(1)).unsqueeze(0).expand({ids.size(0), -1});
    const EncoderPass pass{decoder().embed(ids), positions, AttentionPlan::causal()};
    if (kv_) {
      out.frozen = decoder().hidden_states_and_kv(pass, layers_);
    } else {
      out.frozen.states = decoder().hidden_states(pass, layers_);
    }
  }
  out.gated = gate_->forward(out.frozen.states);
  out.frozen.states.clear();
  out.transport = transport_->forward(out.gated.x, out.batch.lengths);
  return out;
}

// Slot j of layer l: sum_i P_ij (k_i, v_i) / b_j, the key rotated at the slot's position.
void Comprexit::set_kv_content(Memory& memory, const Moved& moved, const Slots& source) const {
  const TransportOutput& t = moved.transport;
  const int64_t n = t.plan.size(0), windows = t.plan.size(1), W = t.plan.size(2), M = t.plan.size(3);
  std::vector<std::vector<int64_t>> of_segment, of_context(static_cast<size_t>(memory.contexts()));
  for (int64_t i = 0; i < n; ++i) {
    const auto segment = static_cast<size_t>(i);
    auto& context = of_context[static_cast<size_t>(moved.batch.context[segment])];
    of_segment.emplace_back(static_cast<size_t>(windows * M), 0);
    size_t slot = 0;
    for (const auto& [first, last] : transport_->runs_of(moved.batch.lengths[i].item<int64_t>())) {
      const int64_t at = positions_ == PositionScheme::epl ? epl_positions(first, last, 1)[0] : last;
      of_segment.back()[slot++] = moved.batch.start[segment] + at;
      context.push_back(moved.batch.start[segment] + at);
    }
  }
  const Tensor positions = to_padded_tensor(of_segment, 0);                                  // [n, w M]
  const Tensor weights = (t.plan / t.target.unsqueeze(2).clamp_min(1e-30)).transpose(2, 3);  // [n, w, M, W]
  const auto slots = [&](const Tensor& x /* [n, K, L, d] */) {
    const int64_t K = x.size(1), d = x.size(3);
    const Tensor rows = torch::constant_pad_nd(x, {0, 0, 0, windows * W - x.size(2)})
                            .transpose(1, 2)
                            .reshape({n, windows, W, K * d})
                            .to(torch::kFloat);
    return torch::matmul(weights, rows).view({n, windows * M, K, d}).transpose(1, 2);  // [n, K, w M, d]
  };
  KvMemory kv{{}, memory.lengths};
  for (const auto& layer : moved.frozen.unrotated) {
    const LayerKv own{decoder().rotate_keys(slots(layer.k), positions).to(decoder().dtype()),
                      slots(layer.v).to(decoder().dtype())};
    kv.layers.push_back(gather_kv_entries(own, source));
  }
  memory.content = std::move(kv);
  memory.position_ids = to_padded_tensor(of_context, 0);
}

Memory Comprexit::remember(const TokenBatch& context, const Moved& moved, Slots& source) const {
  const TransportOutput& t = moved.transport;
  std::vector<int64_t> slots;
  for (int64_t i = 0; i < moved.batch.ids.size(0); ++i)
    slots.push_back(transport_->slots_of(moved.batch.lengths[i].item<int64_t>()));
  Memory memory = kv_ ? empty_memory(context, {.next = MemoryPlacement::Next::source})
                      : empty_memory(context, {.before = decoder_bos_ ? 1 : 0});
  source = place_slots(memory, moved.batch, slots, t.plan.size(1) * t.plan.size(3));
  if (kv_) {
    set_kv_content(memory, moved, source);
  } else {
    const Tensor rows = gather_entries(t.slots.flatten(1, 2), source);
    memory.content = EmbeddingMemory{projector_ ? projector_->forward(rows) : rows, rows};
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
  const int64_t n = moved.batch.ids.size(0), width = moved.batch.ids.size(1), W = config().comprexit.window;
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
  if (kv_) return kv_prompt(decoder(), decoder_bos_ ? surroundings().bos_id : -1, memory, task);
  return embedding_prompt(decoder(), surroundings().bos_id, {.bos = decoder_bos_}, memory, task);
}

}  // namespace precis

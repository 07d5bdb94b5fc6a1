#include "precis/model/decoder.h"

#include <torch/types.h>

#include <cmath>
#include <limits>

#include "precis/core/error.h"
#include "precis/core/strings.h"
#include "precis/nn/linear.h"
#include "precis/nn/recompute.h"
#include "precis/nn/rms_norm.h"
#include "precis/nn/swiglu.h"

namespace precis {

Tensor Decoder::embed(const Tensor& ids) const {
  if (ids.device().is_cpu() && ids.numel() > 0 && ids.max().item<int64_t>() >= embedding_.size(0)) {
    throw Error({.what = "a token id is outside of the model's vocabulary",
                 .expected = cat("ids below ", embedding_.size(0)),
                 .found = cat(ids.max().item<int64_t>()),
                 .hint = "does the tokenizer belong to the model?"});
  }
  const Tensor rows = torch::embedding(embedding_, ids.to(device_));
  return embedding_scale_ == 1 ? rows : rows * embedding_scale_;
}

Tensor Decoder::logits(const Tensor& rows) const { return torch::linear(rows, classifier_); }

namespace {

// Computed in the weight's dtype, which may be wider than that of x.
Tensor norm_of(const Tensor& x, const Tensor& weight, double eps) {
  return frozen_rms_norm(x.to(weight.scalar_type()), weight, eps).to(x.scalar_type());
}

}  // namespace

Tensor Decoder::norm(const Tensor& x, const Tensor& weight) const { return norm_of(x, weight, config_.rms_norm_eps); }

LinearInput Decoder::normed(const Tensor& x, const Tensor& weight) const {
  if (!weight.defined()) return {x, {}};
  return {x, [weight, eps = config_.rms_norm_eps](const Tensor& rows) { return norm_of(rows, weight, eps); }};
}

void Decoder::check_positions(const Tensor& position_ids) const {
  if (!position_ids.device().is_cpu()) return;  // checked before they went there
  const int64_t last = position_ids.numel() == 0 ? 0 : position_ids.max().item<int64_t>();
  if (last < config_.max_positions) return;
  throw Error({.what = "a position is beyond those of the model",
               .expected = cat("positions up to ", config_.max_positions - 1),
               .found = cat(last),
               .hint = "shorten the text or the answer, or raise compressor.ratio"});
}

std::optional<int64_t> Decoder::frequency_change() const {
  for (const auto& frequencies : rope_frequencies_) {
    if (frequencies.beyond.defined()) return frequencies.original_positions;
  }
  return std::nullopt;
}

std::vector<RopeTable> Decoder::rope(const DecoderInput& input) const {
  Tensor positions = input.position_ids.to(device_);
  if (frequency_change() && input.lengths.defined()) {  // padding does not lengthen a context
    const Tensor valid = length_mask(input.lengths.to(device_), positions.size(1));
    positions = positions.expand(valid.sizes()).masked_fill(valid.logical_not(), 0);
  }
  std::vector<RopeTable> tables;
  for (const auto& frequencies : rope_frequencies_) tables.push_back(rope_table(positions, frequencies, dtype_));
  return tables;
}

void Decoder::check_kept_keys(const Tensor& position_ids) const {
  const auto change = frequency_change();
  if (!change || !position_ids.device().is_cpu() || position_ids.numel() == 0) return;
  const int64_t last = position_ids.max().item<int64_t>();
  if (last < *change) return;
  throw Error({.what = "keys are kept of a text so long that longrope changes its frequencies",
               .expected = cat("positions below ", *change, ", the model's original_max_position_embeddings"),
               .found = cat(last),
               .hint = "shorten the text, or use a method whose memory is soft tokens"});
}

std::vector<LoraTarget> Decoder::linear_shapes() const {
  const int64_t q = config_.heads * config_.head_dim, kv = config_.kv_heads * config_.head_dim, D = config_.hidden,
                F = config_.intermediate;
  return {{"q_proj", D, q},    {"k_proj", D, kv}, {"v_proj", D, kv},  {"o_proj", q, D},
          {"gate_proj", D, F}, {"up_proj", D, F}, {"down_proj", F, D}};
}

namespace {

// The linears fused in `weight`, with their adapters, if any.
Tensor linear(const Adapters& adapters, int64_t layer, const std::vector<LoraSet::Part>& parts, const LinearInput& x,
              const Tensor& weight, const Tensor& bias) {
  if (adapters.lora == nullptr) return frozen_linear(x.rows(), weight, bias);
  return adapters.lora->apply(layer, parts, x, weight, bias, adapters.rows);
}

// residual + made; without gradients in place in `made`.
Tensor sum(const Tensor& residual, const Tensor& made) {
  return at::GradMode::is_enabled() ? residual + made : made.add_(residual);
}

}  // namespace

Decoder::Heads Decoder::project(int64_t index, const Tensor& x, const RopeTable* table,
                                const Adapters& adapters) const {
  const Layer& layer = layers_[static_cast<size_t>(index)];
  const int64_t q_width = config_.heads * config_.head_dim, kv_width = config_.kv_heads * config_.head_dim;
  const auto parts = linear(adapters, index, {{"q_proj", q_width}, {"k_proj", kv_width}, {"v_proj", kv_width}},
                            normed(x, layer.attention_in), layer.qkv, layer.qkv_bias)
                         .split_with_sizes({q_width, kv_width, kv_width}, -1);
  const auto heads = [&](const Tensor& part, const Tensor& head_norm) {
    // The norm is of a head's width or of all heads'.
    const Tensor whole = head_norm.defined() ? norm(part.unflatten(-1, {-1, head_norm.size(0)}), head_norm) : part;
    return whole.reshape({part.size(0), part.size(1), -1, config_.head_dim}).transpose(1, 2);  // [B, heads, S, d]
  };
  const auto rotated = [&](const Tensor& x_of_heads) {
    return table != nullptr ? apply_rope(x_of_heads, *table) : x_of_heads.contiguous();
  };
  // Values are copied: a view would keep the whole product alive until the backward pass, or in a cache.
  return {rotated(heads(parts[0], layer.q_norm)), rotated(heads(parts[1], layer.k_norm)),
          heads(parts[2], {}).contiguous()};
}

Tensor Decoder::finish_layer(int64_t index, const Tensor& residual, const Tensor& attended, const Adapters& adapters,
                             const Tensor& into) const {
  const Layer& layer = layers_[static_cast<size_t>(index)];
  const Tensor joined = attended.transpose(1, 2).flatten(2);  // [B, S, H d]
  const int64_t D = config_.hidden, F = config_.intermediate;
  const auto normed_if = [&](const Tensor& made, const Tensor& weight) {
    return weight.defined() ? norm(made, weight) : made;
  };
  const Tensor x = sum(
      residual,
      normed_if(linear(adapters, index, {{"o_proj", D}}, {joined, {}}, layer.o, layer.o_bias), layer.attention_out));
  const Tensor gate_up = linear(adapters, index, {{"gate_proj", F}, {"up_proj", F}}, normed(x, layer.mlp_in),
                                layer.gate_up, layer.gate_up_bias);
  const auto gated = config_.activation == Activation::silu ? swiglu : geglu;
  const Tensor made = normed_if(
      linear(adapters, index, {{"down_proj", D}}, {gate_up, gated}, layer.down, layer.down_bias), layer.mlp_out);
  if (!into.defined()) return sum(x, made);
  Tensor out = into;
  return at::add_out(out, x, made);
}

// The plan of each layer: the input's, or causal after the past or the cache, by window width.
class Decoder::Plans {
 public:
  Plans(const DecoderConfig& config, const DecoderInput& input, const KvCache* cache, at::Device device)
      : config_(config), given_(input.plan), cache_(cache), rows_(input.rows.size(1)) {
    const PastKeyValues* past = cache == nullptr && input.past ? &*input.past : nullptr;
    behind_ = cache != nullptr ? cache->longest() : past != nullptr ? past->entries() : 0;
    behind_lengths_ = cache != nullptr  ? cache->lengths()
                      : past != nullptr ? past->lengths.to(device)
                                        : torch::zeros({input.rows.size(0)}, at::device(device).dtype(torch::kLong));
    if (!given_) return;
    const bool dense = given_->kind == AttentionPlan::Kind::dense;
    check(cache == nullptr && (past == nullptr || dense),
          "a plan after a past must be a dense mask, and excludes a cache");
    if (!dense) refuse_window();  // a dense mask is complete
  }

  const AttentionPlan& of_layer(int64_t layer) {
    if (given_) return *given_;
    const int64_t window = config_.window[static_cast<size_t>(layer)];
    const auto found = by_window_.find(window);
    return found != by_window_.end() ? found->second : by_window_[window] = causal(window);
  }

 private:
  AttentionPlan causal(int64_t window) const {
    if (behind_ == 0 && (window == 0 || window >= rows_)) return AttentionPlan::causal();
    if (cache_ == nullptr) return AttentionPlan::dense(causal_mask_after_past(rows_, behind_, behind_lengths_, window));
    // In the cache every context's entries are contiguous: entry j is at index j, row t at lengths + t.
    const Tensor query = (behind_lengths_.unsqueeze(1) + torch::arange(rows_, behind_lengths_.options())).unsqueeze(2);
    const Tensor key = torch::arange(cache_->shown(rows_), behind_lengths_.options()).view({1, 1, -1});
    Tensor mask = key <= query;
    if (window > 0) mask = mask.logical_and(key > query - window);
    return AttentionPlan::dense(mask.unsqueeze(1));
  }

  void refuse_window() const {
    for (const int64_t window : config_.window) {
      if (window > 0 && window < rows_) {
        throw Error({.what = "a segment with its memory is longer than the decoder's sliding window",
                     .where = "compressor.segment_length",
                     .expected = cat("at most ", window, " rows"),
                     .found = cat(rows_)});
      }
    }
  }

  const DecoderConfig& config_;
  const std::optional<AttentionPlan>& given_;
  const KvCache* cache_;
  int64_t rows_, behind_ = 0;
  Tensor behind_lengths_;  // int64 [B]
  std::map<int64_t, AttentionPlan> by_window_;
};

namespace {

// Runs a layer as a recomputable block, with the adapters' tensors and the same dropout masks in both runs.
std::vector<Tensor> run_layer_block(const Block& block, const std::vector<Tensor>& inputs, const LoraSet* lora,
                                    int64_t layer) {
  if (lora == nullptr) return run_block(block, inputs, {});
  const auto replay = [block, lora, generator = lora->dropout_generator(),
                       first = std::make_shared<bool>(true)](const std::vector<Tensor>& given) {
    if (std::exchange(*first, false)) return block(given);
    const LoraSet::UseGenerator same_masks(*lora, generator);
    return block(given);
  };
  return run_block(replay, inputs, lora->layer_tensors(layer));
}

// Keeps hidden states. Without gradients they share one allocation, so that long-lived tensors do not fragment the
// memory freed after each layer (with the C library's allocator that would cost as much memory again).
class KeptStates {
 public:
  KeptStates(const Tensor& like, int64_t count) {
    if (at::GradMode::is_enabled() || count == 0) return;
    std::vector<int64_t> shape = {count};
    shape.insert(shape.end(), like.sizes().begin(), like.sizes().end());
    block_ = torch::empty(shape, like.options());
  }
  // Preferred destination of the next state; undefined: any.
  Tensor next_place() const { return block_.defined() ? block_[static_cast<int64_t>(states_.size())] : Tensor(); }
  void add(const Tensor& x) {
    Tensor place = next_place();
    if (place.defined() && place.data_ptr() != x.data_ptr()) place.copy_(x);
    states_.push_back(place.defined() ? place : x);
  }
  std::vector<Tensor> take() { return std::move(states_); }

 private:
  Tensor block_;
  std::vector<Tensor> states_;
};

// Attention weights [B, H, T, S] in fp32 under a dense mask.
Tensor attention_weights(const Tensor& q, const Tensor& k, const AttentionPlan& plan) {
  const Tensor keys = k.repeat_interleave(q.size(1) / k.size(1), 1).to(torch::kFloat);
  const Tensor scores =
      torch::matmul(q.to(torch::kFloat), keys.transpose(2, 3)) / std::sqrt(static_cast<double>(q.size(3)));
  return scores.masked_fill(plan.mask.logical_not(), -std::numeric_limits<float>::infinity()).softmax(-1);
}

}  // namespace

DecoderOutput Decoder::run(const DecoderInput& input, const DecoderWants& wants, KvCache* cache) const {
  const int64_t depth = wants.layers < 0 ? config_.layers : wants.layers;
  check(depth <= config_.layers, "a pass through more layers than the decoder has");
  check(wants.first_row == 0 || !wants.states, "hidden states are returned for all rows");
  check(!wants.attention || (input.plan && input.plan->kind == AttentionPlan::Kind::dense),
        "attention weights need a dense mask");
  check_positions(input.position_ids);
  const std::vector<RopeTable> tables = rope(input);
  const PastKeyValues* past = cache == nullptr && input.past ? &*input.past : nullptr;
  if (past != nullptr || wants.keys_values.defined()) check_kept_keys(input.position_ids);
  Plans plans(config_, input, cache, device_);
  Tensor index = wants.keys_values;
  if (index.defined())
    index = index.to(device_).view({index.size(0), 1, -1, 1}).expand({-1, config_.kv_heads, -1, config_.head_dim});
  Tensor x = input.rows.to(dtype_);
  KeptStates states(x, wants.states ? depth + 1 : 0);
  DecoderOutput out;
  for (int64_t i = 0; i < depth; ++i) {
    const bool is_last = i + 1 == depth, goes_on = !is_last || wants.rows || wants.states;
    if (wants.states) states.add(x);  // the last layer's state is kept only after the final norm
    AttentionPlan plan = plans.of_layer(i);
    if (is_last) plan.first_output_row = wants.first_row;
    const Tensor into = wants.states && !is_last ? states.next_place() : Tensor();
    // in: the rows, then the past's keys and values, if any.
    // Returns the requested keys, values and attention weights, then the rows of the next layer.
    const int64_t which = config_.rope_of_layer[static_cast<size_t>(i)];
    const std::optional<RopeTable> table = which < 0 ? std::nullopt : std::optional(tables[static_cast<size_t>(which)]);
    const auto block = [this, i, table, plan, index, goes_on, into, cache, adapters = input.adapters,
                        shown = wants.attention](const std::vector<Tensor>& in) {
      Heads h = project(i, in[0], table ? &*table : nullptr, adapters);
      std::vector<Tensor> made;
      if (index.defined()) made = {h.k.gather(2, index), h.v.gather(2, index)};
      if (cache != nullptr) {
        const LayerKv all = cache->append(static_cast<size_t>(i), h.k, h.v);
        h.k = all.k;
        h.v = all.v;
      } else if (in.size() > 1) {
        h.k = torch::cat({in[1], h.k}, 2);
        h.v = torch::cat({in[2], h.v}, 2);
      }
      if (shown) made.push_back(attention_weights(h.q, h.k, plan));
      if (!goes_on) return made;
      const int64_t first = plan.first_output_row;
      const Tensor residual = first == 0 ? in[0] : in[0].narrow(1, first, in[0].size(1) - first);
      Adapters own = adapters;
      if (own.rows.defined() && first > 0) own.rows = own.rows.narrow(1, first, own.rows.size(1) - first);
      made.push_back(finish_layer(i, residual, attend(h.q, h.k, h.v, plan), own, into));
      return made;
    };
    std::vector<Tensor> inputs = {x};
    if (past != nullptr) {
      const LayerKv& before = past->layers[static_cast<size_t>(i)];
      inputs.insert(inputs.end(), {before.k, before.v});
    }
    std::vector<Tensor> made =
        cache != nullptr ? block(inputs) : run_layer_block(block, inputs, input.adapters.lora, i);
    if (goes_on) {
      x = made.back();
      made.pop_back();
    }
    if (wants.attention) {
      out.attention.push_back(made.back());
      made.pop_back();
    }
    if (index.defined()) out.keys_values.push_back({made[0], made[1]});
  }
  if (cache != nullptr) {
    const bool one_each =
        input.rows.size(1) == 1 && input.lengths.device().is_cpu() && input.lengths.eq(1).all().item<bool>();
    one_each ? cache->advance_by_one() : cache->advance(input.lengths);
  }
  if (wants.rows || wants.states) {
    const Tensor last = norm(x, final_norm_);
    if (wants.states) {
      states.add(last);
      out.states = states.take();
    }
    if (wants.rows) out.rows = last;
  }
  return out;
}

Tensor Decoder::rotate_keys(int64_t layer, const Tensor& keys, const Tensor& by) const {
  const int64_t which = config_.rope_of_layer[static_cast<size_t>(layer)];
  if (which < 0) return keys;
  const Tensor positions = by.to(keys.device()).expand({-1, keys.size(2)});
  const Tensor frequencies = rope_frequencies_[static_cast<size_t>(which)].inverse.to(keys.device());
  const RopeTable table = rotation_table(positions, frequencies, torch::kFloat);
  return apply_rope(keys.to(torch::kFloat), table).to(keys.scalar_type());
}

}  // namespace precis

#include "precis/model/decoder.h"

#include <torch/torch.h>

#include <cmath>
#include <limits>

#include "precis/core/error.h"
#include "precis/core/strings.h"
#include "precis/nn/linear.h"
#include "precis/nn/recompute.h"
#include "precis/nn/rms_norm.h"
#include "precis/nn/swiglu.h"

namespace precis {

Tensor Decoder::embed(const Tensor& ids) const { return torch::embedding(embedding_, ids.to(device_)); }

Tensor Decoder::logits(const Tensor& rows) const { return torch::linear(rows, classifier_); }

Tensor Decoder::norm(const Tensor& x, const Tensor& weight) const {
  return frozen_rms_norm(x, weight, config_.rms_norm_eps);
}

LinearInput Decoder::normed(const Tensor& x, const Tensor& weight) const {
  return {x, [weight, eps = config_.rms_norm_eps](const Tensor& rows) { return frozen_rms_norm(rows, weight, eps); }};
}

RopeTable Decoder::rope(const Tensor& position_ids) const {
  return rope_table(position_ids.to(device_), rope_frequencies_, dtype_);
}

std::vector<LoraTarget> Decoder::linear_shapes() const {
  const int64_t q = config_.heads * config_.head_dim, kv = config_.kv_heads * config_.head_dim, D = config_.hidden,
                F = config_.intermediate;
  return {{"q_proj", D, q},    {"k_proj", D, kv}, {"v_proj", D, kv},  {"o_proj", q, D},
          {"gate_proj", D, F}, {"up_proj", D, F}, {"down_proj", F, D}};
}

namespace {

// The linears that `weight` computes at once, with their adapters if there are any.
Tensor linear(const LoraSet* lora, int64_t layer, const std::vector<LoraSet::Part>& parts, const LinearInput& x,
              const Tensor& weight, const Tensor& bias) {
  return lora == nullptr ? frozen_linear(x.rows(), weight, bias) : lora->apply(layer, parts, x, weight, bias);
}

// residual + made, in the place of `made` where no gradient is wanted.
Tensor sum(const Tensor& residual, const Tensor& made) {
  return at::GradMode::is_enabled() ? residual + made : made.add_(residual);
}

}  // namespace

Decoder::Heads Decoder::project(const Layer& layer, int64_t index, const Tensor& x, const RopeTable& table,
                                const LoraSet* lora) const {
  const int64_t q_width = config_.heads * config_.head_dim, kv_width = config_.kv_heads * config_.head_dim;
  const auto parts = linear(lora, index, {{"q_proj", q_width}, {"k_proj", kv_width}, {"v_proj", kv_width}},
                            normed(x, layer.input_norm), layer.qkv, layer.qkv_bias)
                         .split_with_sizes({q_width, kv_width, kv_width}, -1);
  const auto heads = [&](const Tensor& part, const Tensor& head_norm) {
    const Tensor split = part.unflatten(-1, {-1, config_.head_dim});
    return (head_norm.defined() ? norm(split, head_norm) : split).transpose(1, 2);  // [B, heads, S, d]
  };
  // Values are copied out: as a view they would keep the whole product alive, until the backward pass or in a cache.
  return {apply_rope(heads(parts[0], layer.q_norm), table), apply_rope(heads(parts[1], layer.k_norm), table),
          heads(parts[2], {}).contiguous()};
}

Tensor Decoder::finish_layer(const Layer& layer, int64_t index, const Tensor& residual, const Tensor& attended,
                             const LoraSet* lora, const Tensor& into) const {
  const Tensor joined = attended.transpose(1, 2).flatten(2);  // [B, S, H d]
  const int64_t D = config_.hidden, F = config_.intermediate;
  const Tensor x = sum(residual, linear(lora, index, {{"o_proj", D}}, {joined, {}}, layer.o, layer.o_bias));
  const Tensor gate_up = linear(lora, index, {{"gate_proj", F}, {"up_proj", F}}, normed(x, layer.post_norm),
                                layer.gate_up, layer.gate_up_bias);
  const Tensor made = linear(lora, index, {{"down_proj", D}}, {gate_up, swiglu}, layer.down, layer.down_bias);
  if (!into.defined()) return sum(x, made);
  Tensor out = into;
  return at::add_out(out, x, made);
}

namespace {

// A layer as a block that can be run again: with the adapters' tensors, and with the same dropout masks.
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

}  // namespace

Tensor Decoder::run_layer(int64_t index, const Tensor& x, const RopeTable& table, const AttentionPlan& plan,
                          const LoraSet* lora, const Tensor& into) const {
  const auto block = [this, index, table, plan, lora, into](const std::vector<Tensor>& in) -> std::vector<Tensor> {
    const Layer& layer = layers_[static_cast<size_t>(index)];
    const Heads h = project(layer, index, in[0], table, lora);
    const int64_t first = plan.first_output_row;
    const Tensor residual = first == 0 ? in[0] : in[0].narrow(1, first, in[0].size(1) - first);
    return {finish_layer(layer, index, residual, attend(h.q, h.k, h.v, plan), lora, into)};
  };
  return run_layer_block(block, {x}, lora, index).front();
}

Tensor Decoder::hidden(const DecoderInput& input, KvCache* cache) const {
  const int64_t rows = input.rows.size(1);
  const RopeTable table = rope(input.position_ids);
  const PastKeyValues* past = cache == nullptr && input.past ? &*input.past : nullptr;
  const int64_t behind = cache != nullptr ? cache->longest() : past != nullptr ? past->entries() : 0;
  const Tensor behind_lengths =
      cache != nullptr ? cache->lengths()
      : past != nullptr
          ? past->lengths.to(device_)
          : torch::zeros({input.rows.size(0)}, torch::TensorOptions().dtype(torch::kLong).device(device_));
  std::map<int64_t, AttentionPlan> plans;  // by window width
  const auto plan_for = [&](int64_t window) -> const AttentionPlan& {
    const auto found = plans.find(window);
    if (found != plans.end()) return found->second;
    if (behind == 0 && (window == 0 || window >= rows)) return plans[window] = AttentionPlan::causal();
    if (cache == nullptr)
      return plans[window] = AttentionPlan::dense(causal_mask_after_past(rows, behind, behind_lengths, window));
    // In the cache every context's entries are contiguous: entry j is at index j, row t at lengths + t.
    const Tensor query = (behind_lengths.unsqueeze(1) + torch::arange(rows, behind_lengths.options())).unsqueeze(2);
    const Tensor key = torch::arange(cache->shown(rows), behind_lengths.options()).view({1, 1, -1});
    Tensor mask = key <= query;
    if (window > 0) mask = mask.logical_and(key > query - window);
    return plans[window] = AttentionPlan::dense(mask.unsqueeze(1));
  };
  Tensor x = input.rows.to(dtype_);
  for (int64_t i = 0; i < config_.layers; ++i) {
    const AttentionPlan& plan = plan_for(config_.window[static_cast<size_t>(i)]);
    // in: the rows, and what stands before them as keys and values
    const auto block = [this, i, table, plan, cache](const std::vector<Tensor>& in) -> std::vector<Tensor> {
      const Layer& layer = layers_[static_cast<size_t>(i)];
      Heads h = project(layer, i, in[0], table, nullptr);
      if (cache != nullptr) {
        const LayerKv all = cache->append(static_cast<size_t>(i), h.k, h.v);
        h.k = all.k;
        h.v = all.v;
      } else if (in.size() > 1) {
        h.k = torch::cat({in[1], h.k}, 2);
        h.v = torch::cat({in[2], h.v}, 2);
      }
      return {finish_layer(layer, i, in[0], attend(h.q, h.k, h.v, plan), nullptr)};
    };
    std::vector<Tensor> inputs = {x};
    if (past != nullptr) {
      const LayerKv& before = past->layers[static_cast<size_t>(i)];
      inputs.insert(inputs.end(), {before.k, before.v});
    }
    x = (cache == nullptr ? run_block(block, inputs, {}) : block(inputs)).front();
  }
  if (cache != nullptr) {
    const bool one_each = rows == 1 && input.lengths.device().is_cpu() && input.lengths.eq(1).all().item<bool>();
    one_each ? cache->advance_by_one() : cache->advance(input.lengths);
  }
  return norm(x, final_norm_);
}

void Decoder::refuse_window(const EncoderPass& pass) const {
  if (pass.plan.kind == AttentionPlan::Kind::dense) return;  // a dense mask is the whole mask
  for (const int64_t window : config_.window) {
    if (window > 0 && window < pass.rows.size(1)) {
      throw Error({.what = "a segment with its memory is longer than the decoder's sliding window",
                   .where = "compressor.segment_length",
                   .expected = cat("at most ", window, " rows"),
                   .found = cat(pass.rows.size(1))});
    }
  }
}

Tensor Decoder::encode(const EncoderPass& pass, int64_t first_row) const {
  refuse_window(pass);
  const RopeTable table = rope(pass.position_ids);
  Tensor x = pass.rows.to(dtype_);
  AttentionPlan last = pass.plan;
  last.first_output_row = first_row;
  for (int64_t i = 0; i < config_.layers; ++i)
    x = run_layer(i, x, table, i + 1 == config_.layers ? last : pass.plan, pass.lora);
  return norm(x, final_norm_);
}

std::vector<Tensor> Decoder::attention_weights(const EncoderPass& pass) const {
  check(pass.plan.kind == AttentionPlan::Kind::dense, "attention_weights: a dense mask");
  const torch::NoGradGuard no_gradient;
  const RopeTable table = rope(pass.position_ids);
  std::vector<Tensor> out;
  Tensor x = pass.rows.to(dtype_);
  for (int64_t i = 0; i < config_.layers; ++i) {
    const Heads h = project(layers_[static_cast<size_t>(i)], i, x, table, pass.lora);
    const Tensor k = h.k.repeat_interleave(config_.heads / config_.kv_heads, 1).to(torch::kFloat);
    const Tensor scores = torch::matmul(h.q.to(torch::kFloat), k.transpose(2, 3)) / std::sqrt(config_.head_dim);
    out.push_back(
        scores.masked_fill(pass.plan.mask.logical_not(), -std::numeric_limits<float>::infinity()).softmax(-1));
    x = run_layer(i, x, table, pass.plan, pass.lora);
  }
  return out;
}

std::vector<LayerKv> Decoder::encode_keys_values(const EncoderPass& pass, const Tensor& index) const {
  refuse_window(pass);
  const RopeTable table = rope(pass.position_ids);
  const Tensor at =
      index.to(device_).view({index.size(0), 1, -1, 1}).expand({-1, config_.kv_heads, -1, config_.head_dim});
  std::vector<LayerKv> out;
  Tensor x = pass.rows.to(dtype_);
  for (int64_t i = 0; i < config_.layers; ++i) {
    const bool is_last = i + 1 == config_.layers;
    const auto block = [this, i, table, at, is_last, pass](const std::vector<Tensor>& in) -> std::vector<Tensor> {
      const Layer& layer = layers_[static_cast<size_t>(i)];
      const Heads h = project(layer, i, in[0], table, pass.lora);
      std::vector<Tensor> made = {h.k.gather(2, at), h.v.gather(2, at)};
      if (!is_last) made.push_back(finish_layer(layer, i, in[0], attend(h.q, h.k, h.v, pass.plan), pass.lora));
      return made;
    };
    const std::vector<Tensor> made = run_layer_block(block, {x}, pass.lora, i);
    out.push_back({made[0], made[1]});
    if (!is_last) x = made[2];
  }
  return out;
}

namespace {

// Keeps hidden states. Without gradients they lie in one block, so that what lives long does not leave holes among what
// is freed after each layer (with the C library's allocator that would cost as much memory again).
class KeptStates {
 public:
  KeptStates(const Tensor& like, int64_t count) {
    if (at::GradMode::is_enabled()) return;
    std::vector<int64_t> shape = {count};
    shape.insert(shape.end(), like.sizes().begin(), like.sizes().end());
    block_ = torch::empty(shape, like.options());
  }
  // Where the next state is best written; undefined: anywhere.
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

}  // namespace

std::vector<Tensor> Decoder::hidden_states(const EncoderPass& pass, int64_t k) const {
  check(k >= 0 && k <= config_.layers, "hidden_states: more layers than the decoder has");
  refuse_window(pass);
  const RopeTable table = rope(pass.position_ids);
  Tensor x = pass.rows.to(dtype_);
  KeptStates states(x, k + 1);
  for (int64_t i = 0; i < k; ++i) {
    states.add(x);  // the last layer's state is kept behind the final norm alone
    x = run_layer(i, x, table, pass.plan, pass.lora, i + 1 < k ? states.next_place() : Tensor());
  }
  states.add(norm(x, final_norm_));
  return states.take();
}

Tensor Decoder::rotate_keys(const Tensor& keys, const Tensor& by) const {
  const Tensor positions = by.to(keys.device()).expand({-1, keys.size(2)});
  const RopeTable table = rope_table(positions, rope_frequencies_.to(keys.device()), torch::kFloat);
  return apply_rope(keys.to(torch::kFloat), table).to(keys.scalar_type());
}

}  // namespace precis

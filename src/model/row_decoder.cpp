#include "precis/model/row_decoder.h"

#include <ATen/Parallel.h>
#include <torch/types.h>

#include <algorithm>
#include <cmath>

#include "precis/core/error.h"

namespace precis {
namespace {

void norm_row(const float* x, const Tensor& weight, double eps, float* out) {
  const int64_t n = weight.size(0);
  const float* w = weight.const_data_ptr<float>();
  float sum = 0;
  for (int64_t i = 0; i < n; ++i) sum += x[i] * x[i];
  const float scale = 1 / std::sqrt(sum / static_cast<float>(n) + static_cast<float>(eps));
  for (int64_t i = 0; i < n; ++i) out[i] = x[i] * scale * w[i];
}

// `width` numbers, each run of the norm's width normalised; an undefined norm changes nothing.
void norm_parts(float* x, int64_t width, const Tensor& weight, double eps) {
  if (!weight.defined()) return;
  for (int64_t i = 0; i < width; i += weight.size(0)) norm_row(x + i, weight, eps, x + i);
}

float gate_of(Activation activation, float x) {
  if (activation == Activation::silu) return x / (1 + std::exp(-x));
  constexpr float root = 0.7978845608028654F;  // sqrt(2 / pi)
  return x / 2 * (1 + std::tanh(root * (x + 0.044715F * x * x * x)));
}

void rotate(float* head, const float* cos, const float* sin, int64_t half) {
  for (int64_t i = 0; i < half; ++i) {
    const float first = head[i], second = head[i + half];
    head[i] = first * cos[i] - second * sin[i];
    head[i + half] = second * cos[i] + first * sin[i];
  }
}

template <class T>
void store(const float* from, int64_t n, void* to) {
  std::transform(from, from + n, static_cast<T*>(to), [](float value) { return static_cast<T>(value); });
}

void store_as(at::ScalarType dtype, const float* from, int64_t n, void* to) {
  dtype == at::kBFloat16 ? store<c10::BFloat16>(from, n, to) : store<float>(from, n, to);
}

template <class T>
void load(const void* from, int64_t n, float* to) {
  std::transform(static_cast<const T*>(from), static_cast<const T*>(from) + n, to,
                 [](T value) { return static_cast<float>(value); });
}

void load_as(at::ScalarType dtype, const void* from, int64_t n, float* to) {
  dtype == at::kBFloat16 ? load<c10::BFloat16>(from, n, to) : load<float>(from, n, to);
}

// The address of entry `entry` of head `head` of context `b` in a cache tensor [B, K, capacity, d].
char* entry_of(const Tensor& cache, int64_t b, int64_t head, int64_t entry) {
  return static_cast<char*>(cache.mutable_data_ptr()) +
         (b * cache.stride(0) + head * cache.stride(1) + entry * cache.stride(2)) * cache.element_size();
}

}  // namespace

RowDecoder::RowDecoder(const RowWeights& weights, std::vector<KvCache*> caches)
    : weights_(weights), caches_(std::move(caches)) {
  const DecoderConfig& c = weights_.config;
  size_t scores = 0;
  for (KvCache* cache : caches_) {
    for (int64_t b = 0; b < cache->lengths().size(0); ++b) {
      rows_.push_back({cache, b, scores});
      scores += static_cast<size_t>(c.heads * cache->capacity());
    }
  }
  batch_ = static_cast<int64_t>(rows_.size());
  const auto buffer = [&](int64_t width) { return std::vector<float>(static_cast<size_t>(batch_ * width)); };
  x_ = buffer(c.hidden);
  normed_ = buffer(c.hidden);
  qkv_ = buffer((c.heads + 2 * c.kv_heads) * c.head_dim);
  attended_ = buffer(c.heads * c.head_dim);
  gate_up_ = buffer(2 * c.intermediate);
  inner_ = buffer(c.intermediate);
  for (const RopeConfig& rope : c.ropes)
    rotations_.push_back({buffer(rope.dims / 2), buffer(rope.dims / 2), rope.dims / 2});
  if (!c.norms.attention_out.empty() || !c.norms.mlp_out.empty()) made_ = buffer(c.hidden);
  scores_.resize(scores);
  logits_ = torch::empty({batch_, c.vocabulary}, torch::kFloat);
}

void RowDecoder::set_rotations(const int64_t* positions) {
  for (size_t r = 0; r < rotations_.size(); ++r) {
    auto& [cos, sin, half] = rotations_[r];
    const RopeFrequencies& own = weights_.rope_frequencies[r];
    const auto factor = static_cast<float>(own.attention_factor);
    for (int64_t i = 0; i < batch_ * half; ++i) {
      const int64_t position = positions[i / half];
      const bool beyond = own.beyond.defined() && position >= own.original_positions;
      const float angle =
          static_cast<float>(position) * (beyond ? own.beyond : own.inverse).const_data_ptr<float>()[i % half];
      cos[static_cast<size_t>(i)] = std::cos(angle) * factor;
      sin[static_cast<size_t>(i)] = std::sin(angle) * factor;
    }
  }
}

// Normalises and rotates the new heads, and writes keys and values to the cache.
void RowDecoder::keep_keys_values(int64_t index) {
  const DecoderConfig& c = weights_.config;
  const RowWeights::Layer& layer = weights_.layers[static_cast<size_t>(index)];
  const int64_t d = c.head_dim, heads = c.heads + c.kv_heads, which = c.rope_of_layer[static_cast<size_t>(index)];
  for (int64_t b = 0; b < batch_; ++b) {
    const Row& to = rows_[static_cast<size_t>(b)];
    const LayerKv& kept = to.cache->layer(static_cast<size_t>(index));
    const at::ScalarType dtype = kept.k.scalar_type();
    float* row = qkv_.data() + b * (heads + c.kv_heads) * d;
    norm_parts(row, c.heads * d, layer.q_norm, c.rms_norm_eps);
    norm_parts(row + c.heads * d, c.kv_heads * d, layer.k_norm, c.rms_norm_eps);
    for (int64_t h = 0; h < heads && which >= 0; ++h) {
      const auto& [cos, sin, half] = rotations_[static_cast<size_t>(which)];
      rotate(row + h * d, cos.data() + b * half, sin.data() + b * half, half);
    }
    for (int64_t h = 0; h < c.kv_heads; ++h) {
      store_as(dtype, row + (c.heads + h) * d, d, entry_of(kept.k, to.context, h, to.length()));
      store_as(dtype, row + (heads + h) * d, d, entry_of(kept.v, to.context, h, to.length()));
    }
  }
}

void RowDecoder::attend(int64_t index) {
  const DecoderConfig& c = weights_.config;
  const int64_t d = c.head_dim, group = c.heads / c.kv_heads, window = c.window[static_cast<size_t>(index)];
  const float scale = 1 / std::sqrt(static_cast<float>(d));
  int64_t longest = 0;
  for (const KvCache* cache : caches_) longest = std::max(longest, cache->longest());
  at::parallel_for(0, batch_ * c.heads, 1 + 2048 / (1 + longest), [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) {
      const int64_t b = i / c.heads, h = i % c.heads;
      const Row& row = rows_[static_cast<size_t>(b)];
      const LayerKv& kept = row.cache->layer(static_cast<size_t>(index));
      const int64_t all = row.length() + 1, seen = window > 0 ? std::min(all, window) : all;
      attend_one_row(qkv_.data() + (b * (c.heads + 2 * c.kv_heads) + h) * d, kept.k.scalar_type(),
                     entry_of(kept.k, row.context, h / group, all - seen),
                     entry_of(kept.v, row.context, h / group, all - seen), seen, d, scale,
                     scores_.data() + row.scores + static_cast<size_t>(h * row.cache->capacity()),
                     attended_.data() + i * d);
    }
  });
}

// Adds the product, normalised if the layer says so, to the rows.
void RowDecoder::add_to_rows(const RowWeight& weight, const float* in, const Tensor& norm) {
  if (!norm.defined()) return weight.multiply(in, batch_, x_.data(), true);
  const int64_t D = weights_.config.hidden;
  weight.multiply(in, batch_, made_.data());
  norm_parts(made_.data(), batch_ * D, norm, weights_.config.rms_norm_eps);
  for (size_t i = 0; i < x_.size(); ++i) x_[i] += made_[i];
}

const Tensor& RowDecoder::next(const Tensor& ids, const Tensor& positions) {
  for (const KvCache* cache : caches_) check(cache->longest() < cache->capacity(), "RowDecoder: a cache is full");
  const DecoderConfig& c = weights_.config;
  const int64_t D = c.hidden, F = c.intermediate;
  set_rotations(positions.const_data_ptr<int64_t>());
  for (int64_t b = 0; b < batch_; ++b) {
    const Tensor& table = weights_.embedding;
    const char* row =
        static_cast<const char*>(table.const_data_ptr()) + ids.const_data_ptr<int64_t>()[b] * D * table.element_size();
    load_as(table.scalar_type(), row, D, x_.data() + b * D);
  }
  if (weights_.embedding_scale != 1) {
    for (float& x : x_) x *= weights_.embedding_scale;
  }
  // The rows, normalised if the layer says so.
  const auto norm_all = [&](const Tensor& weight) {
    if (!weight.defined()) return x_.data();
    for (int64_t b = 0; b < batch_; ++b) norm_row(x_.data() + b * D, weight, c.rms_norm_eps, normed_.data() + b * D);
    return normed_.data();
  };
  for (int64_t i = 0; i < c.layers; ++i) {
    const RowWeights::Layer& layer = weights_.layers[static_cast<size_t>(i)];
    layer.qkv.multiply(norm_all(layer.attention_in), batch_, qkv_.data());
    keep_keys_values(i);
    attend(i);
    add_to_rows(layer.o, attended_.data(), layer.attention_out);
    layer.gate_up.multiply(norm_all(layer.mlp_in), batch_, gate_up_.data());
    for (int64_t b = 0; b < batch_; ++b) {
      const float *gate = gate_up_.data() + b * 2 * F, *up = gate + F;
      for (int64_t j = 0; j < F; ++j) inner_[static_cast<size_t>(b * F + j)] = gate_of(c.activation, gate[j]) * up[j];
    }
    add_to_rows(layer.down, inner_.data(), layer.mlp_out);
  }
  for (KvCache* cache : caches_) cache->advance_by_one();
  weights_.classifier.multiply(norm_all(weights_.final_norm), batch_, logits_.mutable_data_ptr<float>());
  return logits_;
}

}  // namespace precis

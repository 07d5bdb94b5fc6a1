#include "precis/model/kv_cache.h"

#include <torch/types.h>

#include "precis/core/error.h"

namespace precis {

PastKeyValues PastKeyValues::select(const Tensor& index) const {
  const Tensor there = index.to(layers.at(0).k.device());
  PastKeyValues out;
  for (const auto& layer : layers)
    out.layers.push_back({layer.k.index_select(0, there), layer.v.index_select(0, there)});
  out.lengths = lengths.index_select(0, index.to(lengths.device()));
  return out;
}

PastKeyValues PastKeyValues::to(at::Device device) const {
  PastKeyValues out{{}, lengths};
  for (const auto& layer : layers) out.layers.push_back({layer.k.to(device), layer.v.to(device)});
  return out;
}

KvCache::KvCache(int64_t layers, int64_t batch, int64_t kv_heads, int64_t capacity, int64_t head_dim,
                 at::TensorOptions options)
    : lengths_(torch::zeros({batch}, options.dtype(torch::kLong))) {
  for (int64_t i = 0; i < layers; ++i) {
    layers_.push_back({torch::zeros({batch, kv_heads, capacity, head_dim}, options),
                       torch::zeros({batch, kv_heads, capacity, head_dim}, options)});
  }
}

void KvCache::start_from(const PastKeyValues& past) {
  check(past.layers.size() == layers_.size() && past.entries() <= capacity(), "KvCache: the past does not fit");
  for (size_t i = 0; i < layers_.size(); ++i) {
    layers_[i].k.narrow(2, 0, past.entries()).copy_(past.layers[i].k);
    layers_[i].v.narrow(2, 0, past.entries()).copy_(past.layers[i].v);
  }
  lengths_.zero_();
  longest_ = 0;
  equal_lengths_ = true;
  advance(past.lengths);
}

LayerKv KvCache::append(size_t layer, const Tensor& k, const Tensor& v) {
  LayerKv& to = layers_[layer];
  const int64_t rows = k.size(2), end = shown(rows);
  check(end <= capacity(), "KvCache: more rows than its capacity");
  if (shows_whole_ && rows == 1) {
    const Tensor place = torch::arange(end, lengths_.options()).eq(lengths_.unsqueeze(1)).view({-1, 1, end, 1});
    at::where_out(to.k, place, k, to.k);
    at::where_out(to.v, place, v, to.v);
  } else if (equal_lengths_ && !shows_whole_) {
    to.k.narrow(2, longest_, rows).copy_(k);
    to.v.narrow(2, longest_, rows).copy_(v);
  } else {
    const Tensor place =
        (lengths_.unsqueeze(1) + torch::arange(rows, lengths_.options())).view({-1, 1, rows, 1}).expand(k.sizes());
    to.k.scatter_(2, place, k);
    to.v.scatter_(2, place, v);
  }
  return {to.k.narrow(2, 0, end), to.v.narrow(2, 0, end)};
}

void KvCache::advance(const Tensor& new_rows) {
  lengths_ = lengths_ + new_rows.to(lengths_.device());
  longest_ = lengths_.max().item<int64_t>();
  equal_lengths_ = lengths_.min().item<int64_t>() == longest_;
}

void KvCache::advance_by_one() {
  lengths_.add_(1);
  ++longest_;
}

}  // namespace precis

// Keys and values of earlier rows: a differentiable past (a memory in training), and a preallocated cache for
// generation.
#pragma once

#include <ATen/core/Tensor.h>

#include <vector>

namespace precis {

using at::Tensor;

struct LayerKv {
  Tensor k, v;  // [B, K, M, d], keys rotated at their own positions
};

// Keys and values of every layer. Context b has lengths[b] of the M entries; the rest is padding at the end.
struct PastKeyValues {
  std::vector<LayerKv> layers;
  Tensor lengths;  // int64 [B]

  int64_t entries() const { return layers.at(0).k.size(2); }
  // The contexts at `index` (int64 [R]), in that order; repeats are allowed.
  PastKeyValues select(const Tensor& index) const;
  PastKeyValues to(at::Device device) const;
};

class KvCache {
 public:
  // Allocates `capacity` entries for each of `batch` contexts in every layer.
  KvCache(int64_t layers, int64_t batch, int64_t kv_heads, int64_t capacity, int64_t head_dim,
          at::TensorOptions options);

  void start_from(const PastKeyValues& past);

  // Writes rows [B, K, T, d] after the lengths[b] entries of each context; returns all entries so far, padded.
  LayerKv append(size_t layer, const Tensor& k, const Tensor& v);
  void advance(const Tensor& new_rows /* int64 [B] */);  // after all layers: adds the new rows to the lengths
  void advance_by_one();                                 // the same for one row each, without a new tensor

  // From now on `append` returns the whole capacity, so that every token's work has the same shapes. A mask has to hide
  // unfilled entries.
  void show_whole() { shows_whole_ = true; }
  // The number of entries that `append` returns for `rows` new rows.
  int64_t shown(int64_t rows) const { return shows_whole_ ? capacity() : longest_ + rows; }

  const Tensor& lengths() const { return lengths_; }                   // int64 [B]
  const LayerKv& layer(size_t index) const { return layers_[index]; }  // [B, K, capacity, d]
  int64_t capacity() const { return layers_.at(0).k.size(2); }
  int64_t longest() const { return longest_; }

 private:
  std::vector<LayerKv> layers_;
  Tensor lengths_;
  int64_t longest_ = 0;
  bool equal_lengths_ = true, shows_whole_ = false;
};

}  // namespace precis

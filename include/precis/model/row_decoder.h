// The plain decoder for one new token per context, on the CPU: the inner loop of generation. Everything but the
// products' weights is fp32, in buffers allocated once. The reference implementation is Decoder::hidden with a cache.
#pragma once

#include <vector>

#include "precis/model/decoder_config.h"
#include "precis/model/kv_cache.h"
#include "precis/nn/row_linear.h"

namespace precis {

// A decoder's weights, prepared for products with few rows.
struct RowWeights {
  struct Layer {
    Tensor attention_in, attention_out, mlp_in, mlp_out, q_norm, k_norm;  // fp32; undefined: no norm there
    RowWeight qkv, o, gate_up, down;
  };
  DecoderConfig config;
  std::vector<Layer> layers;
  Tensor embedding;      // [V, D]
  RowWeight classifier;  // [V, D]
  Tensor final_norm;     // fp32
  std::vector<RopeFrequencies> rope_frequencies;
  float embedding_scale = 1;
};

class RowDecoder {
 public:
  // Each cache holds the keys and values (fp32 or bf16) of one or several prompts and must outlive this object. The
  // batch B is all of their contexts, in order.
  RowDecoder(const RowWeights& weights, std::vector<KvCache*> caches);

  // Reads one token per context at its position (both int64 [B]), appends its keys and values to the cache, and returns
  // the next tokens' logits, fp32 [B, V], valid until the next call.
  const Tensor& next(const Tensor& ids, const Tensor& positions);

 private:
  struct Row {
    KvCache* cache;
    int64_t context;  // in its cache
    size_t scores;    // where its scores begin
    int64_t length() const { return cache->lengths().const_data_ptr<int64_t>()[context]; }
  };
  // Cosines and sines of one rotary embedding, [B, dims / 2] each.
  struct Rotation {
    std::vector<float> cos, sin;
    int64_t half;
  };
  void set_rotations(const int64_t* positions);
  void add_to_rows(const RowWeight& weight, const float* in, const Tensor& norm);
  void attend(int64_t layer);
  void keep_keys_values(int64_t layer);

  const RowWeights& weights_;
  std::vector<KvCache*> caches_;
  std::vector<Row> rows_;
  int64_t batch_ = 0;
  std::vector<float> x_, normed_, qkv_, attended_, gate_up_, inner_, made_, scores_;
  std::vector<Rotation> rotations_;
  Tensor logits_;
};

}  // namespace precis

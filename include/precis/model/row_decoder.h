// The plain decoder for one new token of each context, on the CPU: what generation spends its time on. Everything but
// the products' weights stays in fp32 and in buffers made once; a token allocates nothing. Its twin is Decoder::hidden
// with a cache.
#pragma once

#include <vector>

#include "precis/model/decoder_config.h"
#include "precis/model/kv_cache.h"
#include "precis/nn/row_linear.h"

namespace precis {

// A decoder's weights as products of a few rows need them.
struct RowWeights {
  struct Layer {
    Tensor input_norm, post_norm, q_norm, k_norm;  // fp32; the last two undefined without q/k norm
    RowWeight qkv, o, gate_up, down;
  };
  DecoderConfig config;
  std::vector<Layer> layers;
  Tensor embedding;                     // [V, D]
  RowWeight classifier;                 // [V, D]
  Tensor final_norm, rope_frequencies;  // fp32
};

class RowDecoder {
 public:
  // For generation in `batch` contexts; the cache is what the prompt left behind (fp32 or bf16) and must outlive this.
  RowDecoder(const RowWeights& weights, KvCache& cache);

  // Reads one token of each context at its position (both int64 [B]), puts its keys and values behind those in the
  // cache, and gives the next tokens' logits fp32 [B, V], valid until the next call.
  const Tensor& next(const Tensor& ids, const Tensor& positions);

 private:
  void set_rotation(const int64_t* positions);
  void attend(int64_t layer);
  void keep_keys_values(int64_t layer);

  const RowWeights& weights_;
  KvCache& cache_;
  int64_t batch_;
  std::vector<float> x_, normed_, qkv_, attended_, gate_up_, inner_, cos_, sin_, scores_;
  Tensor logits_;
};

}  // namespace precis

// The shape of a decoder, always read from the checkpoint's config (methods.md section 1).
#pragma once

#include <string>
#include <vector>

#include "precis/core/gguf.h"
#include "precis/core/json.h"
#include "precis/nn/rope.h"

namespace precis {

struct DecoderConfig {
  std::string family;  // llama | mistral | qwen2 | qwen3
  int64_t layers = 0, hidden = 0, intermediate = 0, heads = 0, kv_heads = 0, head_dim = 0, vocabulary = 0;
  int64_t max_positions = 0;
  double rms_norm_eps = 0, rope_theta = 10000;
  RopeScaling rope_scaling;
  bool qkv_bias = false, o_bias = false, mlp_bias = false, qk_norm = false, tied_embeddings = false;
  std::vector<int64_t> window;  // per layer: attention window in tokens, including the row itself; 0: unlimited

  // Parameters of the frozen decoder, tied ones counted once.
  int64_t parameters() const;
};

DecoderConfig decoder_config_from_hugging_face(const Json& config, const std::string& where);
DecoderConfig decoder_config_from_gguf(const GgufFile& file);

}  // namespace precis

// The shape of a decoder, always read from the checkpoint's config (methods.md section 1). A family is what this says:
// the pass asks for no family's name.
#pragma once

#include <string>
#include <vector>

#include "precis/core/gguf.h"
#include "precis/core/json.h"
#include "precis/nn/rope.h"
#include "precis/weights/checkpoint.h"

namespace precis {

enum class Activation { silu, gelu_tanh };   // of the feed-forward gate
enum class QkNorm { none, by_head, whole };  // RMSNorm of queries and keys: of each head, or of all heads together

struct DecoderConfig {
  std::string family;  // transformers' model_type: llama, mistral, qwen2, qwen3, gemma3_text, phi3, olmo2 or smollm3
  int64_t layers = 0, hidden = 0, intermediate = 0, heads = 0, kv_heads = 0, head_dim = 0, vocabulary = 0;
  int64_t max_positions = 0;
  double rms_norm_eps = 0;
  bool qkv_bias = false, o_bias = false, mlp_bias = false, tied_embeddings = false;
  bool fused_qkv = false, fused_gate_up = false;  // stored as one tensor each
  QkNorm qk_norm = QkNorm::none;
  Activation activation = Activation::silu;
  NormNames norms = pre_norms;
  bool fp32_norms = false;        // norms are multiplied by their weights before they are rounded to the rows' dtype
  double norm_offset = 0;         // added to the norms' weights: Gemma stores them less 1
  double embedding_scale = 1;     // of embedded tokens
  double query_scale = 1;         // of queries, beside 1 / sqrt(head_dim); other than 1 only with q and k norm
  std::vector<RopeConfig> ropes;  // rotary embeddings
  std::vector<int64_t> rope_of_layer;  // per layer: its place in `ropes`; -1: no rotation
  std::vector<int64_t> window;         // per layer: attention window in tokens, including the row itself; 0: unlimited

  // Parameters of the frozen decoder, tied ones counted once.
  int64_t parameters() const;
};

DecoderConfig decoder_config_from_hugging_face(const Json& config, const std::string& where);
DecoderConfig decoder_config_from_gguf(const GgufFile& file);

// What open_gguf_checkpoint has to know of the decoder.
GgufLayout gguf_layout(const DecoderConfig& config);

}  // namespace precis

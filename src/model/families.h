// What a model_type implies: the values of fields that a config leaves out, and what no field says. From transformers'
// configuration and modeling files (4.57.3, rope_parameters from 5.0).
#pragma once

#include <string>

#include "precis/model/decoder_config.h"

namespace precis {

// Which layers have a sliding window, if `layer_types` does not say so.
enum class Windows { none, all, from_max_window_layers, by_pattern, without_rope };

struct Family {
  const char* name;  // model_type
  int64_t vocabulary, hidden, intermediate, layers, heads;
  int64_t kv_heads = 0;  // 0: as many as heads
  int64_t head_dim = 0;  // 0: hidden / heads
  int64_t max_positions = 0;
  double rms_norm_eps = 1e-6, rope_theta = 10000;
  bool tied = false;
  Windows windows = Windows::none;
  bool window_switch = false;  // windows need use_sliding_window
  int64_t sliding_window = 0;
  bool reads_layer_types = true;
  bool qkv_bias = false;                         // always; else attention_bias says so, of o too
  bool attention_bias = true, mlp_bias = false;  // the fields are read
  bool fused = false;                            // qkv_proj and gate_up_proj
  QkNorm qk_norm = QkNorm::none;
  const NormNames* norms = &pre_norms;
  bool fp32_norms = false;
  bool gemma = false;              // scaled embeddings, norm weights less 1, query_pre_attn_scalar
  double local_theta = 0;          // above 0: layers with a window have a rotary embedding of their own
  int64_t rope_interval = 0;       // above 0: every such layer has no rotary embedding
  int64_t original_positions = 0;  // of longrope; 0: none
};

// nullptr for an unknown model_type.
const Family* find_family(const std::string& model_type);

std::string family_names();  // for messages

// The positions of a decoder of `max_positions` with YaRN, which usually is not in a config's max_position_embeddings.
int64_t longest_with(const RopeScaling& yarn, int64_t max_positions);

// Throws Error for a decoder whose products could overflow or whose parts do not fit together.
void check_shape(const DecoderConfig& config, const std::string& where);
// Before anything is allocated by layer.
void check_layers(int64_t layers, const std::string& where);

}  // namespace precis

#include "precis/model/decoder_config.h"

#include <algorithm>

#include "precis/core/error.h"
#include "precis/core/strings.h"

namespace precis {
namespace {

int64_t size_of(const Json& config, const char* key, const std::string& where) {
  const auto value = json_get<int64_t>(config, key, where);
  if (value < 1 || value > (int64_t{1} << 32))
    throw Error({.what = cat(key, " is out of range"), .where = where, .found = cat(value)});
  return value;
}

template <class T>
T value_or(const Json& config, const char* key, T fallback, const std::string& where) {
  if (!config.contains(key) || config.at(key).is_null()) return fallback;
  return json_get<T>(config, key, where);
}

void check_shape(const DecoderConfig& c, const std::string& where) {
  constexpr int64_t widest = int64_t{1} << 24, widest_head = int64_t{1} << 16;  // products of three stay below 2^63
  const bool wide_heads = c.heads > widest || c.head_dim > widest_head || c.heads * c.head_dim > widest;
  if (wide_heads || std::max({c.hidden, c.intermediate, c.vocabulary}) > widest) {
    throw Error({.what = "the decoder is impossibly wide",
                 .where = where,
                 .expected = cat("at most ", widest, ", and ", widest_head, " for a head"),
                 .found = cat("hidden ", c.hidden, ", intermediate ", c.intermediate, ", vocabulary ", c.vocabulary,
                              ", ", c.heads, " heads of ", c.head_dim)});
  }
  if (c.heads % c.kv_heads != 0) {
    throw Error({.what = "the number of heads is not a multiple of the number of key/value heads",
                 .where = where,
                 .found = cat(c.heads, " and ", c.kv_heads)});
  }
  if (c.head_dim % 2 != 0)
    throw Error({.what = "rotary embedding needs an even head_dim", .where = where, .found = cat(c.head_dim)});
  if (!(c.rms_norm_eps > 0))
    throw Error({.what = "rms_norm_eps must be above 0", .where = where, .found = cat(c.rms_norm_eps)});
  if (!(c.rope_theta > 0))
    throw Error({.what = "rope_theta must be above 0", .where = where, .found = cat(c.rope_theta)});
  if (c.layers > 1000)
    throw Error({.what = "too many layers", .where = where, .expected = "at most 1000", .found = cat(c.layers)});
}

void read_rope(const Json& config, const std::string& where, DecoderConfig& out) {
  out.rope_theta = value_or<double>(config, "rope_theta", 10000, where);
  Json scaling = value_or<Json>(config, "rope_scaling", Json(), where);
  if (scaling.is_null()) scaling = value_or<Json>(config, "rope_parameters", Json(), where);  // transformers 5
  if (scaling.is_null()) return;
  out.rope_theta = value_or<double>(scaling, "rope_theta", out.rope_theta, where);
  out.rope_scaling.type =
      value_or<std::string>(scaling, "rope_type", value_or<std::string>(scaling, "type", "default", where), where);
  if (out.rope_scaling.type == "default") return;
  if (out.rope_scaling.type != "linear" && out.rope_scaling.type != "llama3") {
    throw Error({.what = "unsupported rope_scaling",
                 .where = where,
                 .expected = "default, linear or llama3",
                 .found = out.rope_scaling.type});
  }
  out.rope_scaling.factor = json_get<double>(scaling, "factor", where);
  if (out.rope_scaling.type == "linear") return;
  out.rope_scaling.low_freq_factor = json_get<double>(scaling, "low_freq_factor", where);
  out.rope_scaling.high_freq_factor = json_get<double>(scaling, "high_freq_factor", where);
  out.rope_scaling.original_positions = json_get<double>(scaling, "original_max_position_embeddings", where);
}

// Before anything is allocated by layer.
void check_layers(int64_t layers, const std::string& where) {
  if (layers > 10000)
    throw Error(
        {.what = "impossible number of layers", .where = where, .expected = "at most 10000", .found = cat(layers)});
}

void read_windows(const Json& config, const std::string& where, DecoderConfig& out) {
  out.window.assign(static_cast<size_t>(out.layers), 0);
  const bool used = out.family == "mistral" || value_or(config, "use_sliding_window", false, where);
  const auto width = value_or<int64_t>(config, "sliding_window", 0, where);
  if (!used || out.family == "llama" || width <= 0) return;
  const Json types = value_or<Json>(config, "layer_types", Json(), where);
  if (types.is_array() && static_cast<int64_t>(types.size()) != out.layers) {
    throw Error({.what = "layer_types has the wrong length",
                 .where = where,
                 .expected = cat(out.layers),
                 .found = cat(types.size())});
  }
  const int64_t full_layers = out.family == "mistral" ? 0 : value_or<int64_t>(config, "max_window_layers", 0, where);
  for (int64_t i = 0; i < out.layers; ++i) {
    const bool slides = types.is_array() ? types.at(static_cast<size_t>(i)) == "sliding_attention" : i >= full_layers;
    if (slides) out.window[static_cast<size_t>(i)] = width;
  }
}

}  // namespace

DecoderConfig decoder_config_from_hugging_face(const Json& config, const std::string& where) {
  DecoderConfig c;
  c.family = json_get<std::string>(config, "model_type", where);
  if (c.family != "llama" && c.family != "mistral" && c.family != "qwen2" && c.family != "qwen3") {
    throw Error({.what = "unsupported model_type",
                 .where = where,
                 .expected = "llama, mistral, qwen2 or qwen3",
                 .found = excerpt(c.family)});
  }
  if (const auto act = value_or<std::string>(config, "hidden_act", "silu", where); act != "silu") {
    throw Error({.what = "unsupported hidden_act", .where = where, .expected = "silu", .found = excerpt(act)});
  }
  c.layers = size_of(config, "num_hidden_layers", where);
  check_layers(c.layers, where);
  c.hidden = size_of(config, "hidden_size", where);
  c.intermediate = size_of(config, "intermediate_size", where);
  c.heads = size_of(config, "num_attention_heads", where);
  c.kv_heads = value_or<int64_t>(config, "num_key_value_heads", c.heads, where);
  if (c.kv_heads < 1)
    throw Error({.what = "num_key_value_heads must be at least 1", .where = where, .found = cat(c.kv_heads)});
  // transformers' default for Qwen3 does not depend on the widths.
  const int64_t head_dim = c.family == "qwen3" ? 128 : c.hidden / c.heads;
  c.head_dim = value_or<int64_t>(config, "head_dim", head_dim, where);
  if (c.head_dim < 1) throw Error({.what = "head_dim must be at least 1", .where = where, .found = cat(c.head_dim)});
  c.vocabulary = size_of(config, "vocab_size", where);
  c.max_positions = size_of(config, "max_position_embeddings", where);
  c.rms_norm_eps = value_or<double>(config, "rms_norm_eps", 1e-6, where);
  c.tied_embeddings = value_or(config, "tie_word_embeddings", false, where);
  const bool attention_bias = value_or(config, "attention_bias", false, where);
  c.qkv_bias = c.family == "qwen2" || attention_bias;  // implied by Qwen2's model_type
  c.o_bias = c.family != "qwen2" && attention_bias;
  c.mlp_bias = value_or(config, "mlp_bias", false, where);
  c.qk_norm = c.family == "qwen3";
  read_rope(config, where, c);
  read_windows(config, where, c);
  check_shape(c, where);
  return c;
}

DecoderConfig decoder_config_from_gguf(const GgufFile& file) {
  DecoderConfig c;
  const std::string& architecture = file.text("general.architecture");
  if (architecture != "llama" && architecture != "qwen2" && architecture != "qwen3") {
    throw Error({.what = "unsupported GGUF architecture",
                 .where = file.path(),
                 .expected = "llama, qwen2 or qwen3",
                 .found = excerpt(architecture)});
  }
  c.family = architecture;  // Mistral's files say llama; the computation is the same
  const auto key = [&](const char* name) { return architecture + "." + name; };
  const auto size = [&](const char* name) {
    const int64_t value = file.integer(key(name));
    if (value < 1 || value > (int64_t{1} << 32))
      throw Error({.what = key(name) + " is out of range", .where = file.path(), .found = cat(value)});
    return value;
  };
  c.layers = size("block_count");
  check_layers(c.layers, file.path());
  c.hidden = size("embedding_length");
  c.intermediate = size("feed_forward_length");
  c.heads = size("attention.head_count");
  c.kv_heads = file.has(key("attention.head_count_kv")) ? size("attention.head_count_kv") : c.heads;
  c.head_dim = file.has(key("attention.key_length")) ? size("attention.key_length") : c.hidden / c.heads;
  if (file.has(key("rope.dimension_count")) && size("rope.dimension_count") != c.head_dim) {
    throw Error({.what = "partial rotary embedding is not supported", .where = file.path()});
  }
  c.max_positions = size("context_length");
  c.rms_norm_eps = file.number(key("attention.layer_norm_rms_epsilon"));
  if (file.has(key("rope.freq_base"))) c.rope_theta = file.number(key("rope.freq_base"));
  const bool factor_alone = file.has(key("rope.scaling.factor")) && !file.has(key("rope.scaling.type"));
  if (file.has(key("rope.scale_linear"))) {  // the key of old files
    c.rope_scaling.type = "linear";
    c.rope_scaling.factor = file.number(key("rope.scale_linear"));
  } else if (factor_alone || (file.has(key("rope.scaling.type")) && file.text(key("rope.scaling.type")) != "none")) {
    c.rope_scaling.type = factor_alone ? "linear" : file.text(key("rope.scaling.type"));
    if (c.rope_scaling.type != "linear") {
      throw Error({.what = "unsupported rope.scaling.type",
                   .where = file.path(),
                   .expected = "none or linear",
                   .found = excerpt(c.rope_scaling.type)});
    }
    c.rope_scaling.factor = file.number(key("rope.scaling.factor"));
  }
  if (file.tensors().count("rope_freqs.weight") > 0) {
    throw Error({.what = "a GGUF file with rope_freqs (llama3 scaling) is not supported",
                 .where = file.path(),
                 .hint = "use the Hugging Face folder"});
  }
  const auto embedding = file.tensors().find("token_embd.weight");
  if (embedding == file.tensors().end() || embedding->second.shape.size() != 2) {
    throw Error({.what = "the tensor token_embd.weight is missing or not a matrix", .where = file.path()});
  }
  c.vocabulary = embedding->second.shape[0];
  c.tied_embeddings = file.tensors().count("output.weight") == 0;
  c.qkv_bias = file.tensors().count("blk.0.attn_q.bias") > 0;
  c.o_bias = file.tensors().count("blk.0.attn_output.bias") > 0;
  c.qk_norm = architecture == "qwen3";
  c.window.assign(static_cast<size_t>(std::min<int64_t>(c.layers, 1000)), 0);
  check_shape(c, file.path());
  return c;
}

int64_t DecoderConfig::parameters() const {
  const int64_t q = heads * head_dim, kv = kv_heads * head_dim;
  int64_t layer = hidden * (q + 2 * kv) + q * hidden + 3 * hidden * intermediate + 2 * hidden;
  if (qkv_bias) layer += q + 2 * kv;
  if (o_bias) layer += hidden;
  if (mlp_bias) layer += 2 * intermediate + hidden;
  if (qk_norm) layer += 2 * head_dim;
  return layers * layer + hidden + vocabulary * hidden * (tied_embeddings ? 1 : 2);
}

}  // namespace precis

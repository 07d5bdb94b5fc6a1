#include "precis/model/decoder_config.h"

#include <algorithm>
#include <cmath>

#include "families.h"
#include "precis/core/error.h"
#include "precis/core/strings.h"

namespace precis {
namespace {

bool has_value(const Json& config, const char* key) { return config.contains(key) && !config.at(key).is_null(); }

template <class T>
T value_or(const Json& config, const char* key, T fallback, const std::string& where) {
  return has_value(config, key) ? json_get<T>(config, key, where) : fallback;
}

int64_t size_or(const Json& config, const char* key, int64_t fallback, const std::string& where) {
  const auto value = value_or<int64_t>(config, key, fallback, where);
  if (value < 1 || value > (int64_t{1} << 32))
    throw Error({.what = cat(key, " is out of range"), .where = where, .found = cat(value)});
  return value;
}

// What the weights or the pass would need that is not built.
void refuse_unsupported(const Json& config, const Family& family, const std::string& where) {
  if (const Json q = value_or<Json>(config, "quantization_config", Json(), where); q.is_object()) {
    throw Error({.what = "quantised weights in a Hugging Face folder are not supported",
                 .where = where,
                 .found = "quantization_config with quant_method " +
                          excerpt(value_or<std::string>(q, "quant_method", "?", where)),
                 .hint = "use the model's unquantised weights, or a GGUF file of it"});
  }
  if (!family.gemma) return;
  for (const char* key : {"final_logit_softcapping", "attn_logit_softcapping"}) {
    if (has_value(config, key))
      throw Error({.what = cat(key, " is not supported"), .where = where, .expected = "null"});
  }
  if (value_or(config, "use_bidirectional_attention", false, where))
    throw Error({.what = "a decoder with bidirectional attention is not supported", .where = where});
}

Activation read_activation(const Json& config, const Family& family, const std::string& where) {
  const char* key = family.gemma ? "hidden_activation" : "hidden_act";
  const auto name = value_or<std::string>(config, key, family.gemma ? "gelu_pytorch_tanh" : "silu", where);
  if (name == "silu" || name == "swish") return Activation::silu;
  if (name == "gelu_pytorch_tanh") return Activation::gelu_tanh;
  throw Error({.what = cat("unsupported ", key),
               .where = where,
               .expected = "silu or gelu_pytorch_tanh",
               .found = excerpt(name)});
}

std::string rope_type(const Json& scaling, const std::string& where) {
  const auto type = value_or<std::string>(scaling, "rope_type", "", where);
  const auto older = value_or<std::string>(scaling, "type", "", where);
  if (!type.empty() && !older.empty() && type != older) {
    throw Error({.what = "the rotary scaling has two types",
                 .where = where,
                 .expected = "rope_type and its older name, type, with one value",
                 .found = excerpt(type) + " and " + excerpt(older)});
  }
  const std::string name = type.empty() ? older : type;
  if (name.empty() && has_value(scaling, "factor"))
    throw Error({.what = "the rotary scaling has a factor but no rope_type", .where = where});
  if (name.empty()) return "default";
  return name == "su" || (name == "yarn" && has_value(scaling, "short_factor")) ? "longrope"
                                                                                : name;  // Phi-3's first names
}

double yarn_attention_factor(const Json& s, double factor, const std::string& where) {
  const auto by = [factor](double scale) { return factor <= 1 ? 1.0 : 0.1 * scale * std::log(factor) + 1; };
  const auto scale = value_or<double>(s, "mscale", 0, where), of_all = value_or<double>(s, "mscale_all_dim", 0, where);
  return scale != 0 && of_all != 0 ? by(scale) / by(of_all) : by(1);
}

// `original`: the config's own original_max_position_embeddings, 0 if it has none.
RopeScaling read_scaling(const Json& s, int64_t max_positions, double original, const std::string& where) {
  RopeScaling out{.type = rope_type(s, where)};
  if (out.type == "default") return out;
  constexpr const char* known[] = {"linear", "dynamic", "llama3", "yarn", "longrope"};
  if (std::find(std::begin(known), std::end(known), out.type) == std::end(known)) {
    throw Error({.what = "unsupported rope_scaling",
                 .where = where,
                 .expected = "default, linear, dynamic, llama3, yarn or longrope",
                 .found = excerpt(out.type)});
  }
  if (out.type != "longrope") out.factor = json_get<double>(s, "factor", where);
  const auto positions = static_cast<double>(max_positions);
  const auto own = value_or<double>(s, "original_max_position_embeddings", original > 0 ? original : positions, where);
  const bool by_ratio = original > 0 && out.type == "longrope";  // of the positions, before any factor
  out.original_positions = by_ratio ? original : own;
  if (out.type == "llama3") {
    out.low_freq_factor = json_get<double>(s, "low_freq_factor", where);
    out.high_freq_factor = json_get<double>(s, "high_freq_factor", where);
  } else if (out.type == "yarn") {
    out.beta_fast = value_or<double>(s, "beta_fast", 32, where);
    out.beta_slow = value_or<double>(s, "beta_slow", 1, where);
    out.truncate = value_or(s, "truncate", true, where);
    out.attention_factor = value_or<double>(s, "attention_factor", yarn_attention_factor(s, out.factor, where), where);
  } else if (out.type == "longrope") {
    out.divisors = json_get<std::vector<double>>(s, "short_factor", where);
    out.long_divisors = json_get<std::vector<double>>(s, "long_factor", where);
    out.factor = positions / out.original_positions;
    if (!by_ratio) out.factor = value_or<double>(s, "factor", out.factor, where);
    const double natural = out.factor <= 1 ? 1 : std::sqrt(1 + std::log(out.factor) / std::log(out.original_positions));
    out.attention_factor = value_or<double>(s, "attention_factor", natural, where);
  }
  return out;
}

// One rotary embedding: `own` is its part of rope_parameters (or rope_scaling), `config` the rest.
RopeConfig read_rope(const Json& own, const Json& config, double theta, const Family& family, const DecoderConfig& c,
                     const std::string& where) {
  RopeConfig rope{.theta = value_or<double>(own, "rope_theta", theta, where)};
  const auto share = value_or<double>(config, "partial_rotary_factor",
                                      value_or<double>(own, "partial_rotary_factor", 1, where), where);
  if (!(share > 0 && share <= 1))
    throw Error({.what = "partial_rotary_factor must be above 0 and at most 1", .where = where, .found = cat(share)});
  rope.dims = static_cast<int64_t>(static_cast<double>(c.head_dim) * share);
  const auto original = value_or<double>(config, "original_max_position_embeddings",
                                         static_cast<double>(family.original_positions), where);
  rope.scaling = read_scaling(own, c.max_positions, original, where);
  return rope;
}

void read_ropes(const Json& config, const Family& family, const std::string& where, DecoderConfig& c) {
  Json given = value_or<Json>(config, "rope_scaling", Json(), where);
  if (given.is_null()) given = value_or<Json>(config, "rope_parameters", Json::object(), where);  // transformers 5
  if (!given.is_object())
    throw Error({.what = "rope_scaling is not an object", .where = where, .found = json_kind(given)});
  const bool by_layer_type = given.contains("full_attention") || given.contains("sliding_attention");
  const auto part = [&](const char* layer_type) {
    return by_layer_type ? value_or<Json>(given, layer_type, Json::object(), where) : Json::object();
  };
  const auto theta = value_or<double>(config, "rope_theta", family.rope_theta, where);
  c.ropes = {read_rope(by_layer_type ? part("full_attention") : given, config, theta, family, c, where)};
  if (family.local_theta > 0 || by_layer_type) {
    const double local =
        family.local_theta > 0 ? value_or<double>(config, "rope_local_base_freq", family.local_theta, where) : theta;
    c.ropes.push_back(read_rope(part("sliding_attention"), config, local, family, c, where));
  }
  const RopeScaling& s = c.ropes[0].scaling;
  if (s.type == "yarn") c.max_positions = longest_with(s, c.max_positions);
}

// The entries of a list with one for each layer.
template <class T>
std::vector<T> by_layer(const Json& config, const char* key, int64_t layers, const std::string& where) {
  const auto values = json_get<std::vector<T>>(config, key, where);
  if (static_cast<int64_t>(values.size()) != layers) {
    throw Error({.what = cat(key, " has the wrong length"),
                 .where = where,
                 .expected = cat(layers),
                 .found = cat(values.size())});
  }
  return values;
}

// Which layers use a rotary embedding (SmolLM3 leaves it out of some).
std::vector<bool> rotated_layers(const Json& config, const Family& family, int64_t layers, const std::string& where) {
  std::vector<bool> out(static_cast<size_t>(layers), true);
  if (family.rope_interval == 0) return out;
  if (has_value(config, "no_rope_layers")) {
    const auto listed = by_layer<int64_t>(config, "no_rope_layers", layers, where);  // 1: with rotation
    std::transform(listed.begin(), listed.end(), out.begin(), [](int64_t v) { return v != 0; });
    return out;
  }
  const int64_t interval = size_or(config, "no_rope_layer_interval", family.rope_interval, where);
  for (int64_t i = 0; i < layers; ++i) out[static_cast<size_t>(i)] = (i + 1) % interval != 0;
  return out;
}

// Which layers have a sliding window.
std::vector<bool> sliding_layers(const Json& config, const Family& family, const std::vector<bool>& rotated, bool used,
                                 const std::string& where) {
  const auto layers = static_cast<int64_t>(rotated.size());
  std::vector<bool> out(rotated.size(), false);
  if (family.windows != Windows::none && family.reads_layer_types && has_value(config, "layer_types")) {
    const auto types = by_layer<std::string>(config, "layer_types", layers, where);
    for (size_t i = 0; i < types.size(); ++i) {
      out[i] = types[i] == "sliding_attention";
      if (out[i] || types[i] == "full_attention") continue;
      throw Error({.what = "unsupported layer type",
                   .where = where + ": layer_types",
                   .expected = "full_attention or sliding_attention",
                   .found = excerpt(types[i])});
    }
    return out;
  }
  if (!used && family.windows != Windows::by_pattern) return out;
  const auto first = value_or<int64_t>(config, "max_window_layers", 28, where);
  const int64_t pattern =
      family.windows == Windows::by_pattern ? size_or(config, "sliding_window_pattern", 6, where) : 1;
  for (int64_t i = 0; i < layers; ++i) {
    const Windows rule = family.windows;
    out[static_cast<size_t>(i)] = rule == Windows::all || (rule == Windows::from_max_window_layers && i >= first) ||
                                  (rule == Windows::by_pattern && (i + 1) % pattern != 0) ||
                                  (rule == Windows::without_rope && !rotated[static_cast<size_t>(i)]);
  }
  return out;
}

void read_layers(const Json& config, const Family& family, const std::string& where, DecoderConfig& c) {
  const bool switched_on = !family.window_switch || value_or(config, "use_sliding_window", false, where);
  const int64_t width = !switched_on                        ? 0
                        : config.contains("sliding_window") ? value_or<int64_t>(config, "sliding_window", 0, where)
                                                            : family.sliding_window;
  const auto rotated = rotated_layers(config, family, c.layers, where);
  const auto slides = sliding_layers(config, family, rotated, width > 0, where);
  for (size_t i = 0; i < slides.size(); ++i) {
    if (slides[i] && width <= 0) {
      throw Error({.what = "a layer has a sliding window of unknown width",
                   .where = where,
                   .expected = family.window_switch ? "use_sliding_window and sliding_window" : "sliding_window",
                   .found = cat("sliding_attention in layer ", i)});
    }
    c.window.push_back(slides[i] ? width : 0);
    c.rope_of_layer.push_back(!rotated[i] ? -1 : slides[i] && c.ropes.size() > 1 ? 1 : 0);
  }
}

const Family& family_of(const Json& config, const std::string& where) {
  const auto model_type = json_get<std::string>(config, "model_type", where);
  if (const Family* family = find_family(model_type)) return *family;
  throw Error(
      {.what = "unsupported model_type", .where = where, .expected = family_names(), .found = excerpt(model_type)});
}

}  // namespace

DecoderConfig decoder_config_from_hugging_face(const Json& config, const std::string& where) {
  if (config.contains("text_config") && json_get<std::string>(config, "model_type", where) == "gemma3") {
    Json text = json_get<Json>(config, "text_config", where);  // Gemma 3 with vision
    if (!text.contains("model_type")) text["model_type"] = "gemma3_text";
    return decoder_config_from_hugging_face(text, where + ": text_config");
  }
  const Family& f = family_of(config, where);
  refuse_unsupported(config, f, where);
  DecoderConfig c;
  c.family = f.name;
  c.layers = size_or(config, "num_hidden_layers", f.layers, where);
  check_layers(c.layers, where);
  c.hidden = size_or(config, "hidden_size", f.hidden, where);
  c.intermediate = size_or(config, "intermediate_size", f.intermediate, where);
  c.heads = size_or(config, "num_attention_heads", f.heads, where);
  const bool as_heads =
      f.kv_heads == 0 || (config.contains("num_key_value_heads") && !has_value(config, "num_key_value_heads"));
  c.kv_heads = size_or(config, "num_key_value_heads", as_heads ? c.heads : f.kv_heads, where);
  c.head_dim = size_or(config, "head_dim", f.head_dim > 0 ? f.head_dim : c.hidden / c.heads, where);
  c.vocabulary = size_or(config, "vocab_size", f.vocabulary, where);
  c.max_positions = size_or(config, "max_position_embeddings", f.max_positions, where);
  c.rms_norm_eps = value_or<double>(config, "rms_norm_eps", f.rms_norm_eps, where);
  c.tied_embeddings = value_or(config, "tie_word_embeddings", f.tied, where);
  const bool attention_bias = f.attention_bias && value_or(config, "attention_bias", false, where);
  c.qkv_bias = f.qkv_bias || attention_bias;
  c.o_bias = !f.qkv_bias && attention_bias;
  c.mlp_bias = f.mlp_bias && value_or(config, "mlp_bias", false, where);
  c.fused_qkv = c.fused_gate_up = f.fused;
  c.qk_norm = f.qk_norm;
  c.norms = *f.norms;
  c.fp32_norms = f.fp32_norms;
  c.activation = read_activation(config, f, where);
  if (f.gemma) {
    c.norm_offset = 1;
    c.embedding_scale = std::sqrt(static_cast<double>(c.hidden));
    const auto scalar = value_or<double>(config, "query_pre_attn_scalar", 256, where);
    if (!(scalar > 0))
      throw Error({.what = "query_pre_attn_scalar must be above 0", .where = where, .found = cat(scalar)});
    c.query_scale = std::sqrt(static_cast<double>(c.head_dim) / scalar);
  }
  read_ropes(config, f, where, c);
  read_layers(config, f, where, c);
  check_shape(c, where);
  return c;
}

}  // namespace precis

// The decoder of a GGUF file. What a key's absence means is llama.cpp's; an architecture computes what its family does
// in transformers.
#include <ATen/ops/empty.h>

#include <algorithm>
#include <cmath>

#include "families.h"
#include "precis/core/error.h"
#include "precis/core/strings.h"
#include "precis/weights/dequantize.h"

namespace precis {
namespace {

// llama.cpp's architecture, transformers' model_type of the same computation. Mistral's files say llama.
constexpr std::pair<const char*, const char*> architectures[] = {
    {"llama", "llama"}, {"qwen2", "qwen2"}, {"qwen3", "qwen3"},    {"gemma3", "gemma3_text"},
    {"phi3", "phi3"},   {"olmo2", "olmo2"}, {"smollm3", "smollm3"}};

bool rotates_interleaved_pairs(const std::string& family) { return family == "llama" || family == "smollm3"; }

// The metadata of one architecture: keys are short names behind its own.
class Keys {
 public:
  Keys(const GgufFile& file, std::string architecture) : file_(file), architecture_(std::move(architecture)) {}

  std::string full(const char* name) const { return architecture_ + "." + name; }
  bool has(const char* name) const { return file_.has(full(name)); }
  double number_or(const char* name, double fallback) const { return has(name) ? file_.number(full(name)) : fallback; }
  int64_t integer_or(const char* name, int64_t fallback) const {
    return has(name) ? file_.integer(full(name)) : fallback;
  }
  int64_t size(const char* name) const {
    const int64_t value = file_.integer(full(name));
    if (value < 1 || value > (int64_t{1} << 32))
      throw Error({.what = full(name) + " is out of range", .where = file_.path(), .found = cat(value)});
    return value;
  }
  int64_t size_or(const char* name, int64_t fallback) const { return has(name) ? size(name) : fallback; }
  std::string text_or(const char* name, const char* fallback) const {
    return has(name) ? file_.text(full(name)) : fallback;
  }
  // For keys whose computation is not built: only `neutral`, or no value, is accepted.
  void require(const char* name, double neutral, const char* what) const {
    if (const double value = number_or(name, neutral); value != neutral) {
      throw Error({.what = cat(what, " is not supported"),
                   .where = file_.path(),
                   .expected = cat(full(name), " = ", neutral, ", or none"),
                   .found = cat(value)});
    }
  }
  const GgufFile& file() const { return file_; }

 private:
  const GgufFile& file_;
  std::string architecture_;
};

bool has_tensor(const GgufFile& file, const char* name) { return file.tensors().count(name) > 0; }

std::vector<double> factors(const GgufFile& file, const char* name) {
  const at::Tensor values = dequantize(file, name).flatten();
  const float* from = values.const_data_ptr<float>();
  return {from, from + values.numel()};
}

RopeScaling read_scaling(const Keys& keys, int64_t max_positions) {
  const GgufFile& file = keys.file();
  // A factor without a type is linear; scale_linear is the key of old files.
  double factor = keys.number_or("rope.scaling.factor", keys.number_or("rope.scale_linear", 0));
  if (factor == 0) factor = 1;
  const std::string type = keys.text_or("rope.scaling.type", "linear");
  RopeScaling out{
      .type = type,
      .factor = factor,
      .original_positions = static_cast<double>(keys.size_or("rope.scaling.original_context_length", max_positions)),
      .attention_factor = keys.number_or("rope.scaling.attn_factor", 1)};
  if (type == "none" || (type == "linear" && factor == 1)) {
    out.type = "default";
    out.factor = 1;
  } else if (type == "yarn") {
    keys.require("rope.scaling.yarn_ext_factor", 1, "a YaRN extrapolation factor");
    keys.require("rope.scaling.yarn_attn_factor", 1, "a second YaRN attention factor");
    keys.require("rope.scaling.yarn_log_multiplier", 0, "a YaRN logarithm factor");
    out.beta_fast = keys.number_or("rope.scaling.yarn_beta_fast", 32);
    out.beta_slow = keys.number_or("rope.scaling.yarn_beta_slow", 1);
    if (factor > 1) out.attention_factor *= 1 + 0.1 * std::log(factor);
  } else if (type == "longrope") {
    if (factor != 1)
      throw Error(
          {.what = "longrope with a linear factor is not supported", .where = file.path(), .found = cat(factor)});
  } else if (type != "linear") {
    throw Error({.what = "unsupported rope.scaling.type",
                 .where = file.path(),
                 .expected = "none, linear, yarn or longrope",
                 .found = excerpt(type)});
  }
  const bool by_length = has_tensor(file, "rope_factors_short.weight"), fixed = has_tensor(file, "rope_freqs.weight");
  if (type == "longrope" && !by_length)
    throw Error({.what = "longrope without the tensor rope_factors_short.weight", .where = file.path()});
  if (by_length && fixed)
    throw Error({.what = "both rope_freqs and rope_factors_short in one file", .where = file.path()});
  if (fixed) out.divisors = factors(file, "rope_freqs.weight");  // Llama 3.1's scaling
  if (by_length) {
    out.type = "longrope";
    out.divisors = factors(file, "rope_factors_short.weight");
    out.long_divisors = factors(file, "rope_factors_long.weight");
  }
  return out;
}

void read_ropes(const Keys& keys, const Family& family, DecoderConfig& c) {
  RopeConfig rope{.theta = keys.number_or("rope.freq_base", 10000),
                  .dims = keys.size_or("rope.dimension_count", c.head_dim),
                  .scaling = read_scaling(keys, c.max_positions)};
  if (rotates_interleaved_pairs(c.family) && rope.dims != c.head_dim) {
    throw Error({.what = "partial rotary embedding is not supported in this architecture",
                 .where = keys.file().path(),
                 .expected = cat(keys.full("rope.dimension_count"), " = ", c.head_dim),
                 .found = cat(rope.dims),
                 .hint = "use the Hugging Face folder"});
  }
  c.ropes = {rope};
  if (family.local_theta > 0)
    c.ropes.push_back({.theta = keys.number_or("rope.freq_base_swa", family.local_theta), .dims = rope.dims});
  if (rope.scaling.type == "yarn") c.max_positions = longest_with(rope.scaling, c.max_positions);
}

// Which layers have a sliding window, by llama.cpp's `attention.sliding_window_pattern`: a period or a list.
std::vector<bool> pattern_of(const Keys& keys, int64_t layers) {
  const std::string key = keys.full("attention.sliding_window_pattern");
  std::vector<bool> out(static_cast<size_t>(layers));
  const auto found = keys.file().metadata().find(key);
  if (found != keys.file().metadata().end() && std::holds_alternative<GgufArray>(found->second.value)) {
    const auto& list = std::get<GgufArray>(found->second.value);
    if (list.size() < out.size())
      throw Error({.what = key + " is too short", .where = keys.file().path(), .expected = cat(layers)});
    for (size_t i = 0; i < out.size(); ++i) {
      const auto* slides = std::get_if<bool>(&list[i].value);
      if (slides == nullptr)
        throw Error({.what = key + " has the wrong type", .where = keys.file().path(), .expected = "true or false"});
      out[i] = *slides;
    }
    return out;
  }
  const int64_t period = keys.size_or("attention.sliding_window_pattern", 6);
  for (int64_t i = 0; i < layers; ++i) out[static_cast<size_t>(i)] = (i + 1) % period != 0;
  return out;
}

// Phi-3 files made before the key existed, by their shape, as in llama.cpp.
int64_t phi3_window(const DecoderConfig& c) {
  if ((c.layers == 32 || c.layers == 40) && c.max_positions == 4096) return 2047;
  return c.max_positions;  // the 128k models: no window
}

void read_layers(const Keys& keys, const Family& family, DecoderConfig& c) {
  const char* key = "attention.sliding_window";
  std::vector<bool> slides(static_cast<size_t>(c.layers), false);
  int64_t width = 0;
  if (family.windows == Windows::by_pattern) {
    width = keys.size(key);
    slides = pattern_of(keys, c.layers);
  } else if (c.family == "phi3") {
    width = keys.integer_or(key, phi3_window(c));
    slides.assign(slides.size(), width > 0 && width < c.max_positions);
  } else if (c.family == "olmo2") {
    keys.require(key, 0, "OLMo-3's sliding window");
  }
  for (size_t i = 0; i < slides.size(); ++i) {
    const bool rotated = family.rope_interval == 0 || (static_cast<int64_t>(i) + 1) % family.rope_interval != 0;
    c.window.push_back(slides[i] ? width : 0);
    c.rope_of_layer.push_back(!rotated ? -1 : slides[i] && c.ropes.size() > 1 ? 1 : 0);
  }
}

const Family& family_of(const GgufFile& file, const std::string& architecture) {
  std::vector<std::string> known;
  for (const auto& [name, family] : architectures) {
    if (name == architecture) return *find_family(family);
    known.emplace_back(name);
  }
  throw Error({.what = "unsupported GGUF architecture",
               .where = file.path(),
               .expected = join(known, ", "),
               .found = excerpt(architecture)});
}

}  // namespace

DecoderConfig decoder_config_from_gguf(const GgufFile& file) {
  const std::string& architecture = file.text("general.architecture");
  const Family& f = family_of(file, architecture);
  const Keys keys(file, architecture);
  keys.require("expert_count", 0, "a mixture of experts");
  keys.require("attn_logit_softcapping", 0, "soft-capping of attention logits");
  keys.require("final_logit_softcapping", 0, "soft-capping of logits");
  DecoderConfig c;
  c.family = f.name;
  c.layers = keys.size("block_count");
  check_layers(c.layers, file.path());
  c.hidden = keys.size("embedding_length");
  c.intermediate = keys.size("feed_forward_length");
  c.heads = keys.size("attention.head_count");
  c.kv_heads = keys.size_or("attention.head_count_kv", c.heads);
  c.head_dim = keys.size_or("attention.key_length", c.hidden / c.heads);
  keys.require("attention.value_length", static_cast<double>(c.head_dim), "a width of values that differs from keys'");
  c.max_positions = keys.size("context_length");
  c.rms_norm_eps = file.number(keys.full("attention.layer_norm_rms_epsilon"));
  const auto embedding = file.tensors().find("token_embd.weight");
  if (embedding == file.tensors().end() || embedding->second.shape.size() != 2) {
    throw Error({.what = "the tensor token_embd.weight is missing or not a matrix", .where = file.path()});
  }
  c.vocabulary = embedding->second.shape[0];
  c.tied_embeddings = !has_tensor(file, "output.weight");
  c.fused_qkv = has_tensor(file, "blk.0.attn_qkv.weight");
  c.fused_gate_up = f.fused && !has_tensor(file, "blk.0.ffn_gate.weight");
  c.qkv_bias = has_tensor(file, "blk.0.attn_q.bias") || has_tensor(file, "blk.0.attn_qkv.bias");
  c.o_bias = has_tensor(file, "blk.0.attn_output.bias");
  c.mlp_bias = has_tensor(file, "blk.0.ffn_down.bias");
  c.qk_norm = f.qk_norm;
  c.norms = *f.norms;
  c.fp32_norms = f.fp32_norms;
  if (f.gemma) {  // the norms' weights are stored whole, unlike in Hugging Face's files
    c.activation = Activation::gelu_tanh;
    c.embedding_scale = std::sqrt(static_cast<double>(c.hidden));
    const bool largest = c.layers == 62;  // the 27B model: query_pre_attn_scalar is 168, for which there is no key
    if (largest)
      c.query_scale =
          std::sqrt(static_cast<double>(c.head_dim) * static_cast<double>(c.heads) / static_cast<double>(c.hidden));
  }
  read_ropes(keys, f, c);
  read_layers(keys, f, c);
  check_shape(c, file.path());
  return c;
}

GgufLayout gguf_layout(const DecoderConfig& c) {
  return {.heads = c.heads,
          .kv_heads = c.kv_heads,
          .interleaved = rotates_interleaved_pairs(c.family),
          .fused_gate_up = c.fused_gate_up,
          .norms = c.norms};
}

}  // namespace precis

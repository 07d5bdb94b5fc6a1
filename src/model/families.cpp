#include "families.h"

#include <algorithm>

#include "precis/core/error.h"
#include "precis/core/strings.h"

namespace precis {
namespace {

const Family families[] = {{.name = "llama",
                            .vocabulary = 32000,
                            .hidden = 4096,
                            .intermediate = 11008,
                            .layers = 32,
                            .heads = 32,
                            .max_positions = 2048,
                            .mlp_bias = true},
                           {.name = "mistral",
                            .vocabulary = 32000,
                            .hidden = 4096,
                            .intermediate = 14336,
                            .layers = 32,
                            .heads = 32,
                            .kv_heads = 8,
                            .max_positions = 131072,
                            .windows = Windows::all,
                            .sliding_window = 4096,
                            .attention_bias = false},
                           {.name = "qwen2",
                            .vocabulary = 151936,
                            .hidden = 4096,
                            .intermediate = 22016,
                            .layers = 32,
                            .heads = 32,
                            .kv_heads = 32,
                            .max_positions = 32768,
                            .windows = Windows::from_max_window_layers,
                            .window_switch = true,
                            .sliding_window = 4096,
                            .qkv_bias = true},
                           {.name = "qwen3",
                            .vocabulary = 151936,
                            .hidden = 4096,
                            .intermediate = 22016,
                            .layers = 32,
                            .heads = 32,
                            .kv_heads = 32,
                            .head_dim = 128,
                            .max_positions = 32768,
                            .windows = Windows::from_max_window_layers,
                            .window_switch = true,
                            .sliding_window = 4096,
                            .qk_norm = QkNorm::by_head},
                           {.name = "gemma3_text",
                            .vocabulary = 262208,
                            .hidden = 2304,
                            .intermediate = 9216,
                            .layers = 26,
                            .heads = 8,
                            .kv_heads = 4,
                            .head_dim = 256,
                            .max_positions = 131072,
                            .rope_theta = 1e6,
                            .tied = true,
                            .windows = Windows::by_pattern,
                            .sliding_window = 4096,
                            .qk_norm = QkNorm::by_head,
                            .norms = &pre_and_post_norms,
                            .gemma = true,
                            .local_theta = 10000},
                           {.name = "phi3",
                            .vocabulary = 32064,
                            .hidden = 3072,
                            .intermediate = 8192,
                            .layers = 32,
                            .heads = 32,
                            .max_positions = 4096,
                            .rms_norm_eps = 1e-5,
                            .windows = Windows::all,
                            .reads_layer_types = false,
                            .attention_bias = false,
                            .fused = true,
                            .original_positions = 4096},
                           {.name = "olmo2",
                            .vocabulary = 50304,
                            .hidden = 4096,
                            .intermediate = 11008,
                            .layers = 32,
                            .heads = 32,
                            .max_positions = 2048,
                            .rms_norm_eps = 1e-5,
                            .qk_norm = QkNorm::whole,
                            .norms = &post_norms,
                            .fp32_norms = true},
                           {.name = "smollm3",
                            .vocabulary = 128256,
                            .hidden = 2048,
                            .intermediate = 11008,
                            .layers = 36,
                            .heads = 16,
                            .kv_heads = 4,
                            .max_positions = 32768,
                            .rope_theta = 2e6,
                            .tied = true,
                            .windows = Windows::without_rope,
                            .window_switch = true,
                            .mlp_bias = true,
                            .rope_interval = 4}};

}  // namespace

const Family* find_family(const std::string& model_type) {
  const std::string name = model_type == "ministral" ? "mistral" : model_type;  // its windows follow layer_types
  const auto found =
      std::find_if(std::begin(families), std::end(families), [&](const Family& f) { return f.name == name; });
  return found == std::end(families) ? nullptr : found;
}

std::string family_names() {
  std::vector<std::string> names;
  for (const Family& family : families) names.emplace_back(family.name);
  return join(names, ", ");
}

int64_t longest_with(const RopeScaling& yarn, int64_t max_positions) {
  const double stretched = std::min(yarn.factor * yarn.original_positions, 4294967296.0);
  return std::max(max_positions, static_cast<int64_t>(std::max(stretched, 0.0)));
}

void check_layers(int64_t layers, const std::string& where) {
  if (layers > 10000)
    throw Error(
        {.what = "impossible number of layers", .where = where, .expected = "at most 10000", .found = cat(layers)});
}

namespace {

void check_rope(const RopeConfig& rope, int64_t head_dim, const std::string& where) {
  if (!(rope.theta > 0)) throw Error({.what = "rope_theta must be above 0", .where = where, .found = cat(rope.theta)});
  if (rope.dims < 2 || rope.dims % 2 != 0 || rope.dims > head_dim) {
    throw Error({.what = "rotary embedding needs an even number of dimensions",
                 .where = where,
                 .expected = cat("2 to head_dim ", head_dim),
                 .found = cat(rope.dims)});
  }
  const RopeScaling& s = rope.scaling;
  if (!(s.factor > 0) || !(s.original_positions > 0) || !(s.attention_factor > 0)) {
    throw Error({.what = "the numbers of a rotary scaling must be above 0",
                 .where = where,
                 .found = cat("factor ", s.factor, ", original_max_position_embeddings ", s.original_positions,
                              ", attention_factor ", s.attention_factor)});
  }
  for (const auto* divisors : {&s.divisors, &s.long_divisors}) {
    const bool positive = std::all_of(divisors->begin(), divisors->end(), [](double d) { return d > 0; });
    if (divisors->empty() || (positive && static_cast<int64_t>(divisors->size()) == rope.dims / 2)) continue;
    throw Error({.what = "rotary factors of the wrong number, or not above 0",
                 .where = where,
                 .expected = cat(rope.dims / 2, " factors, one of each frequency"),
                 .found = cat(divisors->size())});
  }
  const RopeFrequencies frequencies = rope_frequencies(rope);
  if (!all_finite(frequencies.inverse) || (frequencies.beyond.defined() && !all_finite(frequencies.beyond)))
    throw Error({.what = "the rotary scaling gives frequencies that are not numbers", .where = where});
}

}  // namespace

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
  if (!(c.rms_norm_eps > 0))
    throw Error({.what = "rms_norm_eps must be above 0", .where = where, .found = cat(c.rms_norm_eps)});
  for (const RopeConfig& rope : c.ropes) check_rope(rope, c.head_dim, where);
  if (c.layers > 1000)
    throw Error({.what = "too many layers", .where = where, .expected = "at most 1000", .found = cat(c.layers)});
}

int64_t DecoderConfig::parameters() const {
  const int64_t q = heads * head_dim, kv = kv_heads * head_dim;
  int64_t layer = hidden * (q + 2 * kv) + q * hidden + 3 * hidden * intermediate;
  for (const auto* norm : {&norms.attention_in, &norms.attention_out, &norms.mlp_in, &norms.mlp_out})
    layer += norm->empty() ? 0 : hidden;
  if (qkv_bias) layer += q + 2 * kv;
  if (o_bias) layer += hidden;
  if (mlp_bias) layer += 2 * intermediate + hidden;
  if (qk_norm == QkNorm::by_head) layer += 2 * head_dim;
  if (qk_norm == QkNorm::whole) layer += q + kv;
  return layers * layer + hidden + vocabulary * hidden * (tied_embeddings ? 1 : 2);
}

}  // namespace precis

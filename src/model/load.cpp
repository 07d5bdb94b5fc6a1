#include <torch/cuda.h>
#include <torch/types.h>

#include "precis/core/error.h"
#include "precis/core/process.h"
#include "precis/core/strings.h"
#include "precis/model/decoder.h"

namespace precis {
namespace fs = std::filesystem;
namespace {

// Redundant tensors in old exporters' files; they follow from the config.
bool is_known_extra(const std::string& name, const DecoderConfig& config) {
  return name.ends_with("rotary_emb.inv_freq") || (config.tied_embeddings && name == "lm_head.weight");
}

// One NaN or infinite weight makes every memory NaN and every answer token 0.
Tensor finite(const Tensor& weight, const std::string& name, const Checkpoint& checkpoint) {
  if (!all_finite(weight))
    throw Error({.what = "the tensor holds NaN or infinity", .where = cat(checkpoint.path(), ": ", name)});
  return weight;
}

}  // namespace

Decoder::Decoder(DecoderConfig config)
    : config_(std::move(config)),
      dtype_(torch::kFloat),
      device_(torch::kCPU),
      embedding_(torch::zeros({1, 1}).expand({config_.vocabulary, config_.hidden})),
      classifier_(embedding_) {}

std::shared_ptr<const Decoder> Decoder::shape_only(DecoderConfig config) {
  return std::shared_ptr<const Decoder>(new Decoder(std::move(config)));
}

Decoder::Decoder(DecoderConfig config, const Checkpoint& checkpoint, at::ScalarType dtype, at::Device device,
                 std::optional<at::ScalarType> decode_dtype)
    : config_(std::move(config)), dtype_(dtype), device_(device), fingerprint_(checkpoint.fingerprint()) {
  // These operations are differentiable, for checkpoints whose tensors require gradients (train/pretrain.h).
  std::set<std::string> used;
  WeightPool pool;
  const auto read = [&](const std::string& name, at::IntArrayRef shape) {
    used.insert(name);
    return pool.keep(finite(checkpoint.tensor(name, shape), name, checkpoint).to(device_, dtype_)).contiguous();
  };
  embedding_ = read("model.embed_tokens.weight", {config_.vocabulary, config_.hidden});
  classifier_ = config_.tied_embeddings ? embedding_ : read("lm_head.weight", {config_.vocabulary, config_.hidden});
  used.insert("model.norm.weight");
  final_norm_ = read_norm(checkpoint, "model.norm.weight", config_.hidden);
  embedding_scale_ = torch::scalar_tensor(config_.embedding_scale, dtype_).item<double>();
  for (const RopeConfig& rope : config_.ropes) rope_frequencies_.push_back(rope_frequencies(rope).to(device_));
  layers_.resize(static_cast<size_t>(config_.layers));
  for (int64_t i = 0; i < config_.layers; ++i) {
    load_layer(i, checkpoint, used, pool);
    return_free_memory();  // of temporaries, which the next layer would reuse only in part
  }
  std::vector<std::string> extra;
  for (const auto& name : checkpoint.names()) {
    if (used.count(name) == 0 && !is_known_extra(name, config_)) extra.push_back(name);
  }
  if (!extra.empty()) {
    if (extra.size() > 8) extra.resize(8);
    throw Error({.what = cat("the checkpoint holds tensors that a ", config_.family, " decoder lacks"),
                 .where = checkpoint.path(),
                 .found = join(extra, ", ")});
  }
  if (device_.is_cpu()) row_weights_ = make_row_weights(decode_dtype.value_or(dtype_));
}

std::shared_ptr<const RowWeights> Decoder::make_row_weights(at::ScalarType dtype) const {
  auto out = std::make_shared<RowWeights>();
  WeightPool pool;
  const auto product = [dtype, &pool](const Tensor& weight, const Tensor& bias) {
    const Tensor own = weight.detach();
    return RowWeight(own.scalar_type() == dtype ? own : pool.keep(own.to(dtype)),
                     bias.defined() ? bias.detach() : bias);
  };
  const auto fp32 = [](const Tensor& t) { return t.defined() ? t.detach().to(torch::kFloat) : t; };
  out->config = config_;
  out->embedding = embedding_.detach();
  out->classifier = product(classifier_, {});
  out->final_norm = fp32(final_norm_);
  out->rope_frequencies = rope_frequencies_;
  out->embedding_scale = static_cast<float>(embedding_scale_);
  for (const Layer& l : layers_) {
    out->layers.push_back({fp32(l.attention_in), fp32(l.attention_out), fp32(l.mlp_in), fp32(l.mlp_out), fp32(l.q_norm),
                           fp32(l.k_norm), product(l.qkv, l.qkv_bias), product(l.o, l.o_bias),
                           product(l.gate_up, l.gate_up_bias), product(l.down, l.down_bias)});
  }
  return out;
}

// The weight of an RMSNorm as it is applied.
Tensor Decoder::read_norm(const Checkpoint& checkpoint, const std::string& name, int64_t width) const {
  const Tensor weight = finite(checkpoint.tensor(name, {width}), name, checkpoint)
                            .to(device_, config_.fp32_norms ? torch::kFloat : dtype_);
  return (config_.norm_offset == 0 ? weight : weight + config_.norm_offset).clone();
}

void Decoder::load_layer(int64_t index, const Checkpoint& checkpoint, std::set<std::string>& used, WeightPool& pool) {
  Layer& layer = layers_[static_cast<size_t>(index)];
  const std::string prefix = cat("model.layers.", index, ".");
  const auto read = [&](const std::string& name, at::IntArrayRef shape) {
    used.insert(prefix + name);
    return finite(checkpoint.tensor(prefix + name, shape), prefix + name, checkpoint).to(device_, dtype_);
  };
  // Fuses several linears on one input into one product, as some files store them.
  const auto read_joined = [&](const std::vector<std::pair<std::string, int64_t>>& linears, int64_t in, bool bias) {
    std::vector<Tensor> weights, biases;
    for (const auto& [name, out] : linears) {
      weights.push_back(read(name + ".weight", {out, in}));
      if (bias) biases.push_back(read(name + ".bias", {out}));
    }
    return std::pair{pool.keep(torch::cat(weights)), bias ? torch::cat(biases) : Tensor()};
  };
  const int64_t q = config_.heads * config_.head_dim, kv = config_.kv_heads * config_.head_dim, D = config_.hidden,
                F = config_.intermediate;
  const auto norm_if = [&](const std::string& name, int64_t width) {
    if (name.empty()) return Tensor();
    used.insert(prefix + name + ".weight");
    return read_norm(checkpoint, prefix + name + ".weight", width);
  };
  layer.attention_in = norm_if(config_.norms.attention_in, D);
  layer.attention_out = norm_if(config_.norms.attention_out, D);
  layer.mlp_in = norm_if(config_.norms.mlp_in, D);
  layer.mlp_out = norm_if(config_.norms.mlp_out, D);
  if (config_.qk_norm != QkNorm::none) {
    const bool whole = config_.qk_norm == QkNorm::whole;
    layer.q_norm = norm_if("self_attn.q_norm", whole ? q : config_.head_dim);
    layer.k_norm = norm_if("self_attn.k_norm", whole ? kv : config_.head_dim);
    if (config_.query_scale != 1) layer.q_norm = layer.q_norm * config_.query_scale;
  }
  using Linears = std::vector<std::pair<std::string, int64_t>>;
  std::tie(layer.qkv, layer.qkv_bias) = read_joined(
      config_.fused_qkv ? Linears{{"self_attn.qkv_proj", q + 2 * kv}}
                        : Linears{{"self_attn.q_proj", q}, {"self_attn.k_proj", kv}, {"self_attn.v_proj", kv}},
      D, config_.qkv_bias);
  std::tie(layer.o, layer.o_bias) = read_joined({{"self_attn.o_proj", D}}, q, config_.o_bias);
  std::tie(layer.gate_up, layer.gate_up_bias) = read_joined(
      config_.fused_gate_up ? Linears{{"mlp.gate_up_proj", 2 * F}} : Linears{{"mlp.gate_proj", F}, {"mlp.up_proj", F}},
      D, config_.mlp_bias);
  std::tie(layer.down, layer.down_bias) = read_joined({{"mlp.down_proj", D}}, F, config_.mlp_bias);
}

at::ScalarType resolve_dtype(const std::string& name, at::Device device) {
  if (name == "float32") return at::kFloat;
  if (name == "bfloat16") return at::kBFloat16;
  check(name == "auto", "resolve_dtype: unknown name");
  if (device.is_cuda()) return at::kBFloat16;
#if defined(__x86_64__)
  return __builtin_cpu_supports("avx512bf16") ? at::kBFloat16 : at::kFloat;
#else
  return at::kFloat;
#endif
}

std::shared_ptr<const Decoder> load_decoder(const fs::path& path, const std::string& dtype_name,
                                            const std::string& device_name, const std::string& decode_dtype_name) {
  if (!fs::exists(path)) {
    throw Error({.what = "no such model",
                 .where = path.string(),
                 .expected = "a Hugging Face folder or a GGUF file",
                 .hint = "scripts/fetch_smollm2.sh downloads the quick start's model"});
  }
  if (device_name == "cuda" && !torch::cuda::is_available()) {
    throw Error({.what = "no GPU found", .where = "model.device", .hint = "set model.device=cpu"});
  }
  const at::Device device(device_name);
  const at::ScalarType dtype = resolve_dtype(dtype_name, device),
                       decode_dtype = decode_dtype_name == "same" ? dtype : resolve_dtype(decode_dtype_name, device);
  if (fs::is_directory(path)) {
    const fs::path file = path / "config.json";
    auto checkpoint = open_hugging_face_checkpoint(path);
    const Json config = read_json(file);
    if (config.contains("text_config")) checkpoint = text_part(std::move(checkpoint));
    return std::make_shared<Decoder>(decoder_config_from_hugging_face(config, file.string()), *checkpoint, dtype,
                                     device, decode_dtype);
  }
  const DecoderConfig config = decoder_config_from_gguf(GgufFile(path));
  const auto checkpoint = open_gguf_checkpoint(path, gguf_layout(config));
  return std::make_shared<Decoder>(config, *checkpoint, dtype, device, decode_dtype);
}

}  // namespace precis

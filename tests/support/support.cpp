#include "support.h"

#include <ATen/CPUGeneratorImpl.h>
#include <torch/types.h>
#include <unistd.h>

#include <cmath>
#include <fstream>
#include <map>

#include "precis/config/schema.h"
#include "precis/core/random.h"
#include "precis/core/strings.h"

namespace precis::testing {
namespace fs = std::filesystem;

TemporaryFolder::TemporaryFolder() {
  std::string name = (fs::temp_directory_path() / "precis-test-XXXXXX").string();
  path_ = mkdtemp(name.data());
}

TemporaryFolder::~TemporaryFolder() {
  std::error_code ignored;
  std::filesystem::remove_all(path_, ignored);
}

void write_text(const fs::path& path, const std::string& text) {
  fs::create_directories(path.parent_path());
  std::ofstream(path, std::ios::binary) << text;
}

fs::path shared_folder() { return fs::path(PRECIS_SOURCE_DIR).parent_path() / "shared"; }
fs::path smollm2_file() { return fs::path(PRECIS_SOURCE_DIR) / "models" / "SmolLM2-135M-Instruct.Q4_1.gguf"; }

void write_tiny_model(const fs::path& folder, const Json& changes) {
  Json config = {{"model_type", "llama"},      {"hidden_act", "silu"},
                 {"num_hidden_layers", 2},     {"hidden_size", 32},
                 {"intermediate_size", 48},    {"num_attention_heads", 4},
                 {"num_key_value_heads", 2},   {"head_dim", 8},
                 {"vocab_size", 64},           {"max_position_embeddings", 256},
                 {"rms_norm_eps", 1e-5},       {"rope_theta", 10000.0},
                 {"tie_word_embeddings", true}};
  config.update(changes);
  fs::create_directories(folder);
  write_json(folder / "config.json", config);
  const at::Generator generator = at::detail::createCPUGenerator(7);
  TensorMap tensors;
  const auto add = [&](const std::string& name, std::vector<int64_t> shape) {
    tensors[name] = shape.size() == 1 ? torch::empty(shape).uniform_(0.8, 1.2, generator)
                                      : torch::empty(shape).normal_(0, 0.15, generator);
  };
  // A large scale, so that the tied classifier's predictions are confident, as after training.
  tensors["model.embed_tokens.weight"] = torch::empty({64, 32}).normal_(0, 0.6, generator);
  add("model.norm.weight", {32});
  for (int layer = 0; layer < 2; ++layer) {
    const std::string p = cat("model.layers.", layer, ".");
    add(p + "input_layernorm.weight", {32});
    add(p + "post_attention_layernorm.weight", {32});
    add(p + "self_attn.q_proj.weight", {32, 32});
    add(p + "self_attn.k_proj.weight", {16, 32});
    add(p + "self_attn.v_proj.weight", {16, 32});
    add(p + "self_attn.o_proj.weight", {32, 32});
    add(p + "mlp.gate_proj.weight", {48, 32});
    add(p + "mlp.up_proj.weight", {48, 32});
    add(p + "mlp.down_proj.weight", {32, 48});
  }
  write_safetensors(folder / "model.safetensors", tensors);
}

::testing::AssertionResult contains(const char*, const char*, const std::string& text, const std::string& part) {
  if (text.find(part) != std::string::npos) return ::testing::AssertionSuccess();
  return ::testing::AssertionFailure() << '"' << part << "\" is not in: " << text;
}

double largest_difference(const Tensor& a, const Tensor& b) { return (a - b).abs().max().item<double>(); }

double larger(double a, double b) { return std::isnan(a) || std::isnan(b) ? NAN : std::max(a, b); }

std::shared_ptr<const Decoder> tiny_decoder(const std::string& device, int64_t positions) {
  static std::map<std::pair<std::string, int64_t>, std::shared_ptr<const Decoder>> decoders;
  auto& decoder = decoders[{device, positions}];
  if (!decoder) {
    const TemporaryFolder folder;
    write_tiny_model(folder.path(), {{"max_position_embeddings", positions}});
    decoder = load_decoder(folder.path(), "float32", device);
  }
  return decoder;
}

std::string error_of(const std::function<void()>& call) {
  try {
    call();
  } catch (const Error& e) {
    return e.what();
  }
  ADD_FAILURE() << "no Error was thrown";
  return "";
}

TokenBatch random_contexts(const std::vector<int64_t>& lengths, uint64_t seed) {
  Random random(seed, "contexts");
  std::vector<std::vector<int64_t>> contexts;
  for (const int64_t length : lengths) {
    contexts.emplace_back();
    for (int64_t i = 0; i < length; ++i) contexts.back().push_back(random.between(3, 63));
  }
  return token_batch(contexts);
}

TokenBatch one_of(const TokenBatch& batch, int64_t b) {
  const int64_t length = batch.lengths[b].item<int64_t>();
  return {batch.ids.narrow(0, b, 1).narrow(1, 0, length), batch.lengths.narrow(0, b, 1)};
}

const std::vector<CompressorCase>& compressor_cases() {
  static const std::vector<CompressorCase> cases = {
      {"pic", {"compressor.method=pic"}},
      {"pic_c8", {"compressor.method=pic", "compressor.chunk=8", "compressor.positions=epl"}},
      {"pic_kv",
       {"compressor.method=pic", "compressor.carrier=kv", "compressor.projector=none",
        "compressor.positions=chunk_end"}},
      {"pic_recurrent",
       {"compressor.method=pic", "compressor.mask.preset=pic-recurrent", "compressor.layout=interleave",
        "compressor.chunk=8"}},
      {"pic_block", {"compressor.method=pic", "compressor.mask.preset=pic-block", "compressor.memory_rows=shared"}},
      {"pic_triangular",
       {"compressor.method=pic", "compressor.mask.preset=pic-triangular", "compressor.memory_markers=true"}},
      {"icae", {"compressor.method=icae"}},
      {"x500", {"compressor.method=500x"}},
      {"x500_epl", {"compressor.method=500x", "compressor.positions=epl"}},
      {"sac_full", {"compressor.method=sac"}},
      {"sac_anchors", {"compressor.method=sac", "compressor.sac.attention=anchors"}},
      {"sac_random", {"compressor.method=sac", "compressor.sac.anchor_selection=random"}},
      {"sac_causal", {"compressor.method=sac", "compressor.sac.attention=causal"}},
      {"mean_pool", {"compressor.method=mean-pool"}},
      {"comprexit",
       {"compressor.method=comprexit", "compressor.comprexit.window=8", "compressor.comprexit.gate_width=16",
        "compressor.comprexit.metric_width=16"}},
      {"pic_default", {"compressor.method=pic", "compressor.form=default"}},
      {"pic_groups",
       {"compressor.method=pic", "compressor.form=default", "compressor.chunk=8", "compressor.memory_rows=per_group"}},
      {"pic_residual", {"compressor.method=pic", "compressor.form=default", "compressor.projector=residual"}},
      {"mean_pool_default", {"compressor.method=mean-pool", "compressor.form=default"}},
      {"comprexit_default",
       {"compressor.method=comprexit", "compressor.form=default", "compressor.comprexit.window=8",
        "compressor.comprexit.gate_width=16", "compressor.comprexit.metric_width=16"}},
      {"beacon", {"compressor.method=beacon"}},
      {"beacon_append", {"compressor.method=beacon", "compressor.layout=append"}}};
  return cases;
}

std::shared_ptr<Compressor> make_compressor(const CompressorCase& c, const std::string& device) {
  std::vector<std::string> overrides = {"compressor.form=published"};  // unless the case says otherwise
  overrides.insert(overrides.end(), c.overrides.begin(), c.overrides.end());
  overrides.insert(overrides.end(), {"compressor.segment_length=16", "compressor.lora.dropout=0"});
  if (c.method() != "comprexit")
    overrides.insert(overrides.end(), {"compressor.lora.rank=4", "compressor.lora.alpha=8"});
  const Config config = resolve_config(config_layers("", overrides), CompressorRegistry::built_in().methods());
  auto compressor = CompressorRegistry::built_in().make(config.compressor, {tiny_decoder(device), 1, true, "hash", 5});
  const at::NoGradGuard no_gradient;  // B starts at zero; random values test more
  const at::Generator generator = at::detail::createCPUGenerator(3);
  for (auto& parameter : compressor->named_parameters()) {
    if (parameter.key().ends_with(".B"))
      parameter.value().copy_(torch::empty(parameter.value().sizes()).normal_(0, 0.1, generator));
  }
  return compressor;
}

TaskTokens questions(Task task, const std::vector<int64_t>& lengths, const std::vector<int64_t>& memory_index,
                     bool training, uint64_t seed) {
  const TokenBatch tokens = random_contexts(lengths, seed);
  Tensor labels = tokens.ids.clone();
  labels.masked_fill_(length_mask(tokens.lengths, tokens.ids.size(1)).logical_not(), -100);
  return {task, tokens.ids, tokens.lengths, training ? labels : Tensor(), torch::tensor(memory_index, torch::kLong)};
}

}  // namespace precis::testing

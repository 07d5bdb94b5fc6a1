// What config.json says, by a field, by its absence or by another name, as transformers reads it; and what is refused.
#include <torch/types.h>

#include "precis/model/generate.h"
#include "support.h"

namespace precis::testing {
namespace {

DecoderConfig config_of(const Json& fields) { return decoder_config_from_hugging_face(fields, "config.json"); }
std::string message_of(const Json& fields) {
  return error_of([&] { config_of(fields); });
}

// `fields` over a small decoder of the family.
Json small(const std::string& model_type, const Json& fields = Json::object()) {
  Json config = {{"model_type", model_type}, {"hidden_size", 32}, {"num_hidden_layers", 4}, {"num_attention_heads", 4}};
  config.update(fields);
  return config;
}

struct Absent {
  const char* family;
  int64_t kv_heads, head_dim, max_positions, vocabulary;
  double theta;
  bool tied;
};

// The defaults of transformers' configuration classes.
TEST(DecoderConfigs, AnAbsentFieldHasTheFamilysDefault) {
  for (const Absent& a :
       {Absent{"llama", 4, 8, 2048, 32000, 1e4, false}, Absent{"qwen2", 32, 8, 32768, 151936, 1e4, false},
        Absent{"qwen3", 32, 128, 32768, 151936, 1e4, false}, Absent{"mistral", 8, 8, 131072, 32000, 1e4, false},
        Absent{"gemma3_text", 4, 256, 131072, 262208, 1e6, true}, Absent{"phi3", 4, 8, 4096, 32064, 1e4, false},
        Absent{"olmo2", 4, 8, 2048, 50304, 1e4, false}, Absent{"smollm3", 4, 8, 32768, 128256, 2e6, true}}) {
    Json fields = small(a.family);
    if (a.kv_heads > 4) fields["num_attention_heads"] = a.kv_heads, fields["hidden_size"] = 8 * a.kv_heads;
    const DecoderConfig c = config_of(fields);
    EXPECT_EQ(c.kv_heads, a.kv_heads) << a.family;
    EXPECT_EQ(c.head_dim, a.head_dim) << a.family;
    EXPECT_EQ(c.max_positions, a.max_positions) << a.family;
    EXPECT_EQ(c.vocabulary, a.vocabulary) << a.family;
    EXPECT_EQ(c.ropes.front().theta, a.theta) << a.family;
    EXPECT_EQ(c.tied_embeddings, a.tied) << a.family;
  }
  // null is not absent: there are as many key/value heads as heads.
  EXPECT_EQ(config_of(small("gemma3_text", {{"num_attention_heads", 8}, {"num_key_value_heads", nullptr}})).kv_heads,
            8);
}

TEST(DecoderConfigs, Windows) {
  using Widths = std::vector<int64_t>;
  const auto windows = [](const Json& fields) { return config_of(fields).window; };
  EXPECT_EQ(windows(small("llama", {{"sliding_window", 8}})), Widths(4, 0));
  EXPECT_EQ(windows(small("mistral", {{"num_key_value_heads", 2}})), Widths(4, 4096));
  EXPECT_EQ(windows(small("mistral", {{"num_key_value_heads", 2}, {"sliding_window", nullptr}})), Widths(4, 0));
  EXPECT_EQ(windows(small("phi3")), Widths(4, 0));
  EXPECT_EQ(windows(small("phi3", {{"sliding_window", 8}})), Widths(4, 8));
  Json qwen = small("qwen3", {{"num_key_value_heads", 2}, {"sliding_window", 8}, {"max_window_layers", 3}});
  EXPECT_EQ(windows(qwen), Widths(4, 0));
  qwen["use_sliding_window"] = true;
  EXPECT_EQ(windows(qwen), (Widths{0, 0, 0, 8}));
  qwen.erase("max_window_layers");
  EXPECT_EQ(windows(qwen), Widths(4, 0));  // the first 28 layers have none
  qwen["layer_types"] = {"sliding_attention", "full_attention", "full_attention", "sliding_attention"};
  EXPECT_EQ(windows(qwen), (Widths{8, 0, 0, 8}));
  qwen["use_sliding_window"] = false;
  EXPECT_CONTAINS(message_of(qwen), "use_sliding_window");
  qwen["layer_types"] = {"full_attention", "chunked_attention", "full_attention", "full_attention"};
  EXPECT_CONTAINS(message_of(qwen), "chunked_attention");
  qwen["layer_types"] = {"full_attention"};
  EXPECT_CONTAINS(message_of(qwen), "layer_types has the wrong length");
  const Json gemma = small("gemma3_text", {{"sliding_window", 8}, {"sliding_window_pattern", 2}});
  EXPECT_EQ(windows(gemma), (Widths{8, 0, 8, 0}));
  EXPECT_EQ(config_of(gemma).rope_of_layer, (Widths{1, 0, 1, 0}));
  EXPECT_CONTAINS(message_of(small("gemma3_text", {{"sliding_window", nullptr}})), "unknown width");
  EXPECT_EQ(config_of(small("smollm3")).rope_of_layer, (Widths{0, 0, 0, -1}));
  EXPECT_EQ(config_of(small("smollm3", {{"no_rope_layer_interval", 2}})).rope_of_layer, (Widths{0, -1, 0, -1}));
  EXPECT_EQ(windows(small("smollm3", {{"use_sliding_window", true}, {"sliding_window", 8}})), (Widths{0, 0, 0, 8}));
  EXPECT_CONTAINS(message_of(small("smollm3", {{"no_rope_layers", {1, 0}}})), "no_rope_layers has the wrong length");
}

TEST(DecoderConfigs, RotaryScalings) {
  const auto rope = [](const Json& fields) { return config_of(fields).ropes.front(); };
  const auto scaled = [&](const Json& scaling) { return small("llama", {{"rope_scaling", scaling}}); };
  EXPECT_EQ(rope(scaled({{"type", "linear"}, {"factor", 4}})).scaling.factor, 4);
  EXPECT_EQ(rope(scaled(nullptr)).scaling.type, "default");
  EXPECT_CONTAINS(message_of(scaled({{"factor", 4}})), "a factor but no rope_type");
  EXPECT_CONTAINS(message_of(scaled({{"rope_type", "linear"}})), "\"factor\" is missing");
  EXPECT_CONTAINS(message_of(scaled({{"rope_type", "linear"}, {"type", "yarn"}, {"factor", 2}})), "two types");
  EXPECT_CONTAINS(message_of(scaled({{"rope_type", "linear"}, {"factor", 0}})), "above 0");
  const Json yarn = {{"rope_type", "yarn"}, {"factor", 4}};
  EXPECT_EQ(rope(scaled(yarn)).scaling.original_positions, 2048);  // max_position_embeddings
  EXPECT_NEAR(rope(scaled(yarn)).scaling.attention_factor, 1 + 0.1 * std::log(4.0), 1e-12);
  EXPECT_EQ(config_of(scaled(yarn)).max_positions, 8192);
  Json set = yarn;
  set["attention_factor"] = 1.5;
  EXPECT_EQ(rope(scaled(set)).scaling.attention_factor, 1.5);
  // transformers 5: theta and the rotated share are in rope_parameters.
  const Json newer = small("llama", {{"rope_parameters", {{"rope_type", "default"}, {"rope_theta", 500}}}});
  EXPECT_EQ(rope(newer).theta, 500);
  const Json partial = small("phi3", {{"rope_parameters", {{"rope_theta", 500}, {"partial_rotary_factor", 0.5}}}});
  EXPECT_EQ(rope(partial).dims, 4);
  EXPECT_CONTAINS(message_of(small("phi3", {{"partial_rotary_factor", 0.1}})), "even number of dimensions");
  EXPECT_CONTAINS(message_of(small("phi3", {{"partial_rotary_factor", 2}})), "partial_rotary_factor");
}

TEST(DecoderConfigs, LongRope) {
  const Json factors = {{"type", "longrope"}, {"short_factor", {1, 1, 1, 1}}, {"long_factor", {1, 2, 3, 4}}};
  const auto rope = [](const Json& fields) { return config_of(fields).ropes.front().scaling; };
  Json phi = small("phi3", {{"rope_scaling", factors}, {"max_position_embeddings", 131072}});
  EXPECT_EQ(rope(phi).original_positions, 4096);  // Phi-3's default
  EXPECT_NEAR(rope(phi).attention_factor, std::sqrt(1 + std::log(32.0) / std::log(4096.0)), 1e-12);
  phi["rope_scaling"]["type"] = "su";  // its first name
  EXPECT_EQ(rope(phi).type, "longrope");
  phi["max_position_embeddings"] = 4096;
  EXPECT_EQ(rope(phi).attention_factor, 1);
  phi["rope_scaling"]["long_factor"] = {1, 2};
  EXPECT_CONTAINS(message_of(phi), "4 factors");
}

TEST(DecoderConfigs, WhatIsNotBuiltIsRefusedByName) {
  EXPECT_CONTAINS(message_of(small("gemma3")), "gemma3_text");  // without text_config
  EXPECT_CONTAINS(message_of(small("gemma2")), "gemma3_text");
  EXPECT_CONTAINS(message_of(small("gemma3_text", {{"final_logit_softcapping", 30.0}})), "final_logit_softcapping");
  EXPECT_CONTAINS(message_of(small("gemma3_text", {{"use_bidirectional_attention", true}})), "bidirectional");
  EXPECT_CONTAINS(message_of(small("llama", {{"hidden_act", "relu"}})), "silu or gelu_pytorch_tanh");
  for (const char* method : {"gptq", "awq", "bitsandbytes", "fp8", "compressed-tensors"}) {
    const std::string message = message_of(small("llama", {{"quantization_config", {{"quant_method", method}}}}));
    EXPECT_CONTAINS(message, method);
    EXPECT_CONTAINS(message, "GGUF");
  }
}

// With longrope a context has one set of frequencies. The golden case has its change at 16.
class LongRope : public ::testing::Test {
 protected:
  DecoderInput input(const std::vector<int64_t>& lengths) const {
    const TokenBatch batch = random_contexts(lengths);
    return {decoder_->embed(batch.ids), batch.lengths, torch::arange(batch.ids.size(1)).unsqueeze(0)};
  }
  const at::NoGradGuard no_gradient_;
  std::shared_ptr<const Decoder> decoder_ =
      load_decoder(std::filesystem::path(PRECIS_SOURCE_DIR) / "tests" / "golden" / "phi3_longrope");
};

TEST_F(LongRope, AnAnswerAcrossTheChangeIsReadAgain) {
  EXPECT_EQ(decoder_->frequency_change(), 16);
  const std::vector<int64_t> lengths = {10, 13, 20};
  const DecoderInput prompts = input(lengths);
  const auto answers = generate(*decoder_, prompts, {.max_new_tokens = 12});
  for (int64_t b = 0; b < 3; ++b) {  // the reference: each token after a pass over all before it
    Tensor rows = prompts.rows[b].narrow(0, 0, lengths[static_cast<size_t>(b)]).unsqueeze(0);
    std::vector<int64_t> expected;
    for (int step = 0; step < 12; ++step) {
      const Tensor last =
          decoder_->hidden({rows, torch::tensor({rows.size(1)}), torch::arange(rows.size(1)).unsqueeze(0)});
      const Tensor next = decoder_->logits(last[0][-1]).argmax().view({1, 1});
      expected.push_back(next.item<int64_t>());
      rows = torch::cat({rows, decoder_->embed(next)}, 1);
    }
    EXPECT_EQ(answers[static_cast<size_t>(b)], expected) << b;
  }
}

TEST_F(LongRope, KeysAreNotKeptAcrossTheChange) {
  const Tensor first_row = torch::zeros({1, 1}, torch::kLong);
  const auto keys = decoder_->keys_values(input({16}), first_row);
  EXPECT_EQ(keys.size(), 2);
  EXPECT_CONTAINS(error_of([&] { decoder_->keys_values(input({17}), first_row); }), "longrope");
  DecoderInput behind = input({10});
  behind.past = PastKeyValues{keys, torch::tensor({1})};
  EXPECT_EQ(generate(*decoder_, behind, {.max_new_tokens = 6}).front().size(), 6);
  EXPECT_CONTAINS(error_of([&] { generate(*decoder_, behind, {.max_new_tokens = 8}); }), "longrope");
}

// Norms that are multiplied in fp32 before rounding, as Gemma's and OLMo-2's, pass bf16 rows on.
TEST(Families, RunInBf16) {
  const at::NoGradGuard no_gradient;
  for (const char* name : {"gemma3", "phi3", "olmo2", "smollm3", "qwen3"}) {
    const auto path = std::filesystem::path(PRECIS_SOURCE_DIR) / "tests" / "golden" / name;
    std::vector<Tensor> logits;
    for (const char* dtype : {"float32", "bfloat16"}) {
      const auto decoder = load_decoder(path, dtype);
      const Tensor ids = torch::arange(3, 13).unsqueeze(0), positions = torch::arange(10).unsqueeze(0);
      const Tensor rows = decoder->hidden({decoder->embed(ids), torch::tensor({10}), positions});
      EXPECT_EQ(rows.scalar_type(), decoder->dtype()) << name;
      logits.push_back(decoder->logits(rows).to(torch::kFloat));
    }
    const double off = (logits[0] - logits[1]).abs().max().item<double>();
    EXPECT_LT(off, 0.05 * logits[0].abs().max().item<double>()) << name;
    EXPECT_GT(off, 0) << name;
  }
}

TEST(Weights, OtherContainersGetAHint) {
  const TemporaryFolder folder;
  write_tiny_model(folder.path());
  const auto message = [&] { return error_of([&] { load_decoder(folder.path()); }); };
  write_text(folder / "model.safetensors", "version https://git-lfs.example/spec/v1\noid sha256:0\nsize 9\n");
  EXPECT_CONTAINS(message(), "git lfs pull");
  std::filesystem::remove(folder / "model.safetensors");
  write_text(folder / "pytorch_model.bin", "pickle");
  EXPECT_CONTAINS(message(), "pytorch_model.bin");
  EXPECT_CONTAINS(message(), "save_pretrained");
}

}  // namespace
}  // namespace precis::testing

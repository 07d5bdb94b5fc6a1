// GGUF metadata that says a thing by leaving it out, by an older key or by a tensor, as llama.cpp reads it.
#include "gguf_writer.h"
#include "precis/model/decoder_config.h"
#include "support.h"

namespace precis::testing {
namespace {

class GgufConfig : public ::testing::Test {
 protected:
  DecoderConfig config(const GgufWriter& w) {
    write_text(folder_ / "m.gguf", w.bytes());
    return decoder_config_from_gguf(GgufFile(folder_ / "m.gguf"));
  }
  std::string message(const GgufWriter& w) {
    return error_of([&] { config(w); });
  }
  TemporaryFolder folder_;
};

TEST_F(GgufConfig, RopeKeysThatAreLeftOut) {
  const auto scaling = [&](const GgufWriter& w) { return config(w).ropes.front().scaling; };
  const auto tiny = [] { return GgufWriter::tiny("llama"); };
  EXPECT_EQ(config(tiny()).ropes.front().theta, 10000);
  EXPECT_EQ(scaling(tiny()).type, "default");
  EXPECT_EQ(scaling(tiny().real("llama.rope.scaling.factor", 4)).type, "linear");
  EXPECT_EQ(scaling(tiny().real("llama.rope.scale_linear", 4)).factor, 4);
  // The newer key counts where both are.
  EXPECT_EQ(scaling(tiny().real("llama.rope.scaling.factor", 2).real("llama.rope.scale_linear", 4)).factor, 2);
  EXPECT_EQ(scaling(tiny().real("llama.rope.scaling.factor", 0)).type, "default");
  // "none" switches the factor off.
  EXPECT_EQ(scaling(tiny().text("llama.rope.scaling.type", "none").real("llama.rope.scaling.factor", 4)).factor, 1);
  const auto yarn = scaling(tiny().text("llama.rope.scaling.type", "yarn").real("llama.rope.scaling.factor", 4));
  EXPECT_EQ(yarn.original_positions, 64);  // context_length
  EXPECT_NEAR(yarn.attention_factor, 1 + 0.1 * std::log(4.0), 1e-12);
  EXPECT_CONTAINS(message(tiny().text("llama.rope.scaling.type", "ntk")), "none, linear, yarn or longrope");
  EXPECT_CONTAINS(message(tiny().text("llama.rope.scaling.type", "yarn").real("llama.rope.scaling.yarn_ext_factor", 2)),
                  "yarn_ext_factor");
}

TEST_F(GgufConfig, FrequencyFactorsAreTensors) {
  GgufWriter llama = GgufWriter::tiny("llama");
  EXPECT_EQ(config(llama.floats("rope_freqs.weight", {2}, {1, 8})).ropes.front().scaling.divisors,
            (std::vector<double>{1, 8}));
  EXPECT_CONTAINS(message(GgufWriter::tiny("llama").floats("rope_freqs.weight", {3}, {1, 8, 8})), "2 factors");
  GgufWriter phi = GgufWriter::tiny("phi3");
  phi.floats("rope_factors_short.weight", {2}, {1, 2}).floats("rope_factors_long.weight", {2}, {3, 4});
  phi.number("phi3.rope.scaling.original_context_length", 16);
  const RopeScaling scaling = config(phi).ropes.front().scaling;
  EXPECT_EQ(scaling.type, "longrope");
  EXPECT_EQ(scaling.original_positions, 16);
  EXPECT_EQ(scaling.attention_factor, 1);  // without attn_factor
  EXPECT_CONTAINS(message(phi.without("rope_factors_long.weight")), "rope_factors_long.weight");
}

TEST_F(GgufConfig, HeadsAndWidths) {
  EXPECT_EQ(config(GgufWriter::tiny("llama")).kv_heads, 2);
  EXPECT_EQ(config(GgufWriter::tiny("llama")).head_dim, 4);
  EXPECT_EQ(config(GgufWriter::tiny("llama").numbers("llama.attention.head_count_kv", {1})).kv_heads, 1);
  EXPECT_CONTAINS(message(GgufWriter::tiny("llama").numbers("llama.attention.head_count_kv", {1, 2})),
                  "differs from layer to layer");
  EXPECT_CONTAINS(message(GgufWriter::tiny("llama").number("llama.attention.value_length", 8)), "value_length");
  EXPECT_CONTAINS(message(GgufWriter::tiny("llama").number("llama.rope.dimension_count", 2)), "partial rotary");
  EXPECT_EQ(config(GgufWriter::tiny("phi3").number("phi3.rope.dimension_count", 2)).ropes.front().dims, 2);
  EXPECT_CONTAINS(message(GgufWriter::tiny("llama").number("llama.expert_count", 8)), "mixture of experts");
  EXPECT_CONTAINS(message(GgufWriter::tiny("gemma2")), "gemma3");
}

TEST_F(GgufConfig, Windows) {
  const auto gemma = [] {
    return GgufWriter::tiny("gemma3").without("gemma3.block_count").number("gemma3.block_count", 7);
  };
  EXPECT_CONTAINS(message(gemma()), "gemma3.attention.sliding_window is missing");
  const auto windowed = [&] { return gemma().number("gemma3.attention.sliding_window", 8); };
  EXPECT_EQ(config(windowed()).window, (std::vector<int64_t>{8, 8, 8, 8, 8, 0, 8}));  // every sixth layer sees all
  EXPECT_EQ(config(windowed()).rope_of_layer, (std::vector<int64_t>{1, 1, 1, 1, 1, 0, 1}));
  EXPECT_EQ(config(windowed().number("gemma3.attention.sliding_window_pattern", 2)).window[1], 0);
  GgufWriter listed = windowed();
  listed.flags("gemma3.attention.sliding_window_pattern", {false, true, true, true, true, true, true});
  EXPECT_EQ(config(listed).window[0], 0);
  const auto phi = [](uint32_t positions) {
    return GgufWriter::tiny("phi3").without("phi3.context_length").number("phi3.context_length", positions);
  };
  EXPECT_EQ(config(phi(4096).without("phi3.block_count").number("phi3.block_count", 32)).window[0], 2047);
  EXPECT_EQ(config(phi(4096).number("phi3.attention.sliding_window", 0)).window[0], 0);
  EXPECT_EQ(config(phi(4096).number("phi3.attention.sliding_window", 8192)).window[0], 0);
  EXPECT_CONTAINS(message(GgufWriter::tiny("olmo2").number("olmo2.attention.sliding_window", 8)), "OLMo-3");
}

}  // namespace
}  // namespace precis::testing

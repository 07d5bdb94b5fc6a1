// Other projects' checkpoints: exact round trips, and errors for ambiguous checkpoints.
#include <gtest/gtest.h>
#include <torch/types.h>

#include "precis/compress/checkpoint.h"
#include "precis/core/file.h"
#include "precis/core/strings.h"
#include "precis/methods/authors_checkpoint.h"
#include "support.h"

namespace precis {
namespace {

namespace fs = std::filesystem;
using testing::error_of;
using testing::make_compressor;
using testing::TemporaryFolder;
using testing::tiny_decoder;

class AuthorsCheckpoints : public ::testing::TestWithParam<testing::CompressorCase> {};

TEST_P(AuthorsCheckpoints, RoundTripIsExactAndGivesTheSameMemory) {
  const auto compressor = make_compressor(GetParam());
  compressor->eval();
  const TemporaryFolder folder;
  fs::create_directories(folder / "theirs");
  fs::create_directories(folder / "again");
  write_authors_checkpoint(folder / "theirs", *compressor, {});
  AuthorsCheckpoint read = read_authors_checkpoint(folder / "theirs", *tiny_decoder(), CompressorRegistry::built_in());
  EXPECT_EQ(read.config.method, compressor->config().method);
  CompressorConfig config = compressor->config();  // settings that their fields cannot express (see docs)
  config.ratio = read.config.ratio;
  config.slots = read.config.slots;
  config.memory_row_count = read.config.memory_row_count;
  auto imported = CompressorRegistry::built_in().make(config, {tiny_decoder(), 1, true, "hash", 99});
  imported->eval();
  if (config.method == "sac") read.tensors["ae_row"] = trained_tensors(*compressor).at("ae_row");
  load_trained_tensors(*imported, read.tensors, "theirs");
  const at::NoGradGuard no_gradient;
  const TokenBatch contexts = testing::random_contexts({16, 37});
  const TaskTokens task = testing::questions(Task::qa, {4, 4}, {0, 1}, false);
  const auto rows = [&](Compressor& c) { return c.decoder().hidden(c.prompt(c.compress(contexts), task)); };
  EXPECT_TRUE(rows(*imported).equal(rows(*compressor)));
  write_authors_checkpoint(folder / "again", *imported, read.fields);
  for (const char* name : {"model.safetensors", "config.json"})
    EXPECT_EQ(read_file(folder / "theirs" / name), read_file(folder / "again" / name)) << name;
}

INSTANTIATE_TEST_SUITE_P(
    All, AuthorsCheckpoints,
    ::testing::Values(testing::CompressorCase{"comprexit",
                                              {"compressor.method=comprexit", "compressor.comprexit.window=8",
                                               "compressor.comprexit.gate_width=24",
                                               "compressor.comprexit.metric_width=20"}},
                      testing::CompressorCase{"icae", {"compressor.method=icae", "compressor.slots=4"}},
                      testing::CompressorCase{"x500", {"compressor.method=500x", "compressor.slots=4"}},
                      testing::CompressorCase{"sac", {"compressor.method=sac"}}),
    [](const auto& point) { return point.param.name; });

// The golden cases state the authors' name of every trained tensor.
TEST(AuthorsNames, AreThoseOfTheirStateDict) {
  const fs::path cases = testing::shared_folder() / "golden" / "compressors";
  PRECIS_SKIP_WITHOUT(cases);
  for (const char* name : {"comprexit_ratio4", "icae", "fivehundredx", "sac_comprexit_repo"}) {
    const Json json = read_json(cases / name / "compressor.json");
    const Json& tensors = json.at("trained_tensors");
    EXPECT_GT(tensors.size(), 10u);
    for (const auto& [ours, about] : tensors.items())
      EXPECT_EQ(authors_tensor_name(ours), about.at("official_name").get<std::string>()) << name;
  }
}

class AuthorsFolder : public ::testing::Test {
 protected:
  void SetUp() override {
    write_authors_checkpoint(folder_.path(), *make_compressor({"sac", {"compressor.method=sac"}}), {});
  }
  std::string error() {
    return error_of([&] { read_authors_checkpoint(folder_.path(), *tiny_decoder(), CompressorRegistry::built_in()); });
  }
  void add_tensor(const std::string& name, const Tensor& value) {
    const SafetensorsFile file(folder_ / "model.safetensors");
    TensorMap tensors;
    for (const auto& [key, entry] : file.entries()) tensors[key] = file.tensor(key).clone();
    tensors[name] = value;
    write_safetensors(folder_ / "model.safetensors", tensors);
  }
  const TemporaryFolder folder_;
};

TEST_F(AuthorsFolder, UnknownFieldsAreNamedAndMayBeLeftOutOnRequest) {
  Json fields = read_json(folder_ / "config.json");
  fields["curious_setting"] = 3;
  write_json(folder_ / "config.json", fields);
  EXPECT_CONTAINS(error(), "curious_setting = 3");
  EXPECT_EQ(
      read_authors_checkpoint(folder_.path(), *tiny_decoder(), CompressorRegistry::built_in(), {"curious_setting"})
          .config.method,
      "sac");
}

TEST_F(AuthorsFolder, UnknownTensorsAreNamed) {
  add_tensor("pooling_layer.strange", torch::zeros({2}));
  EXPECT_CONTAINS(error(), "pooling_layer.strange");
}

TEST_F(AuthorsFolder, FrozenWeightsAreLeftOutAndAnotherBaseModelIsRefused) {
  const Tensor table = tiny_decoder()->embedding_table();
  add_tensor("llm.model.embed_tokens.weight", table.clone());
  add_tensor("llm.model.layers.0.self_attn.q_proj.weight", torch::zeros({32, 32}));
  EXPECT_EQ(read_authors_checkpoint(folder_.path(), *tiny_decoder(), CompressorRegistry::built_in())
                .tensors.count("anchor_rows"),
            1u);
  add_tensor("llm.model.embed_tokens.weight", table + 1);
  EXPECT_CONTAINS(error(), "another base model");
}

TEST_F(AuthorsFolder, CompressorsTheirClassesCannotHoldAreRefused) {
  for (const testing::CompressorCase& c :
       {testing::CompressorCase{"pic", {"compressor.method=pic"}},
        testing::CompressorCase{"by_ratio", {"compressor.method=icae"}},
        testing::CompressorCase{"epl", {"compressor.method=500x", "compressor.positions=epl"}},
        testing::CompressorCase{"causal", {"compressor.method=sac", "compressor.sac.attention=causal"}}}) {
    const auto compressor = make_compressor(c);
    EXPECT_CONTAINS(error_of([&] { write_authors_checkpoint(folder_.path(), *compressor, {}); }), "no such compressor");
  }
}

TEST(PeftAdapters, RoundTripIsExact) {
  const auto compressor = make_compressor({"pic", {"compressor.method=pic"}});
  const TemporaryFolder folder;
  save_peft_adapter(folder.path(), *compressor);
  const PeftAdapter adapter = read_peft_adapter(folder.path());
  EXPECT_EQ(adapter.lora.rank, 4);
  EXPECT_EQ(adapter.lora.alpha, 8);
  size_t count = 0;
  for (const auto& [name, tensor] : trained_tensors(*compressor)) {
    if (!name.starts_with("lora.")) continue;
    ++count;
    EXPECT_TRUE(adapter.tensors.at(name).equal(tensor)) << name;
  }
  EXPECT_EQ(adapter.tensors.size(), count);
}

TEST(PeftAdapters, KindsThatMeanSomethingElseAreRefusedByName) {
  const auto compressor = make_compressor({"pic", {"compressor.method=pic"}});
  const TemporaryFolder folder;
  save_peft_adapter(folder.path(), *compressor);
  const Json config = read_json(folder / "adapter_config.json");
  const auto with = [&](const std::string& key, const Json& value) {
    Json changed = config;
    changed[key] = value;
    write_json(folder / "adapter_config.json", changed);
    return read_peft_adapter(folder.path());
  };
  const std::vector<std::pair<std::string, Json>> refused = {{"use_dora", true},
                                                             {"fan_in_fan_out", true},
                                                             {"lora_bias", true},
                                                             {"bias", "all"},
                                                             {"rank_pattern", {{"q_proj", 8}}},
                                                             {"alpha_pattern", {{"q_proj", 8}}},
                                                             {"modules_to_save", {"lm_head"}},
                                                             {"init_lora_weights", "pissa_niter_4"},
                                                             {"init_lora_weights", "olora"},
                                                             {"init_lora_weights", "loftq"},
                                                             {"init_lora_weights", "corda"},
                                                             {"init_lora_weights", "eva"}};
  for (const auto& [key, value] : refused) EXPECT_CONTAINS(error_of([&] { with(key, value); }), key);
  for (const auto& [key, value] : std::vector<std::pair<std::string, Json>>{{"rank_pattern", Json::object()},
                                                                            {"modules_to_save", nullptr},
                                                                            {"init_lora_weights", true},
                                                                            {"init_lora_weights", "gaussian"}})
    EXPECT_EQ(with(key, value).lora.alpha, 8) << key;
  EXPECT_EQ(with("use_rslora", true).lora.alpha, 16);  // 8 / sqrt(4) = 16 / 4
}

}  // namespace
}  // namespace precis

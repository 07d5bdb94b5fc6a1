// The trainer as a whole on a tiny decoder: resume continues bit for bit, bad resumes are refused.
#include <gtest/gtest.h>
#include <torch/torch.h>

#include "precis/compress/checkpoint.h"
#include "precis/config/schema.h"
#include "precis/core/strings.h"
#include "precis/data/synth.h"
#include "precis/train/run_folder.h"
#include "precis/train/trainer.h"
#include "support.h"

namespace precis {
namespace {

using testing::error_of;
using testing::TemporaryFolder;
using testing::tiny_decoder;
using testing::write_text;

// A byte-level tokenizer of the 61 most needed characters, so that generated passages fit a vocabulary of 64.
std::unique_ptr<Tokenizer> letter_tokenizer() {
  const TemporaryFolder folder;
  Json vocabulary = Json::object();
  const std::string letters = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVW0123456789.";
  int64_t id = 3;
  for (const char c : letters) vocabulary[std::string(1, c)] = id++;
  const Json json = {
      {"model", {{"vocab", vocabulary}, {"merges", Json::array()}}},
      {"pre_tokenizer", {{"type", "ByteLevel"}, {"add_prefix_space", false}}},
      {"added_tokens",
       {{{"id", 0}, {"content", "<pad>"}}, {{"id", 1}, {"content", "<s>"}}, {{"id", 2}, {"content", "</s>"}}}}};
  write_text(folder / "tokenizer.json", json.dump());
  auto tokenizer = load_tokenizer(folder.path());
  tokenizer->bos_id = 1;
  tokenizer->eos_id = 2;
  return tokenizer;
}

std::vector<Passage> passages(uint64_t seed = 1) {
  std::vector<Passage> out;
  for (int64_t i = 0; i < 12; ++i) out.push_back(synth_passage({.seed = seed}, i));
  return out;
}

Config config_for(const std::filesystem::path& run, std::vector<std::string> overrides = {}) {
  std::vector<std::string> all = {
      "compressor.segment_length=64", "compressor.lora.rank=4",  "compressor.carrier=kv",  "compressor.projector=none",
      "data.max_context_tokens=400",  "train.steps=10",          "train.batch=2",          "train.save_interval=5",
      "train.log_interval=1",         "train.objectives.lm=0.5", "run.dir=" + run.string()};
  all.insert(all.end(), overrides.begin(), overrides.end());
  return resolve_config(config_layers("", all));
}

void run(const Config& config, uint64_t data_seed = 1) {
  const auto tokenizer = letter_tokenizer();
  const auto compressor =
      CompressorRegistry::built_in().make(config.compressor, surroundings_of(tiny_decoder(), *tokenizer, 3));
  const TrainingSet data(passages(data_seed), *tokenizer, config.data, compressor->context_begins_with_bos());
  train(*compressor, data, config);
}

std::vector<Json> losses(const std::filesystem::path& run) {
  std::vector<Json> out;
  for (const auto& line : split(read_file(run / "metrics.jsonl"), '\n')) {
    if (!line.empty())
      out.push_back(Json::array({parse_json(line, "metrics").at("step"), parse_json(line, "metrics").at("loss")}));
  }
  return out;
}

TEST(Training, ResumedRunEqualsAnUnbrokenOneBitForBit) {
  const TemporaryFolder folder;
  for (const char* mix : {"joint", "sample"}) {
    const std::string option = cat("train.objectives.mix=", mix);
    const auto whole = folder / (std::string("whole-") + mix), broken = folder / (std::string("broken-") + mix);
    run(config_for(whole, {option, "train.schedule=constant"}));
    run(config_for(broken, {option, "train.schedule=constant", "train.steps=5"}));
    run(config_for(broken, {option, "train.schedule=constant"}));
    for (const char* file : {"compressor.safetensors", "optimizer.safetensors"}) {
      EXPECT_EQ(read_file(whole / "checkpoints/step-000010" / file),
                read_file(broken / "checkpoints/step-000010" / file))
          << file;
    }
    EXPECT_EQ(losses(whole), losses(broken));
  }
}

TEST(Training, ACutOffSaveIsIgnoredAndMetricsAfterTheCheckpointAreDropped) {
  const TemporaryFolder folder;
  const auto dir = folder / "run";
  run(config_for(dir, {"train.steps=5"}));
  std::filesystem::create_directories(dir / "checkpoints/.step-000007.tmp-1");
  std::filesystem::create_directories(dir / "checkpoints/step-000008");  // no state.json
  append_line(dir / "metrics.jsonl", R"({"event":"step","step":7,"loss":1.0})");
  append_line(dir / "metrics.jsonl", R"({"event":"st)");
  run(config_for(dir));
  const auto lines = losses(dir);
  EXPECT_EQ(lines.size(), 10u);
  EXPECT_FALSE(std::filesystem::exists(dir / "checkpoints/.step-000007.tmp-1"));
}

TEST(Training, ChangedConfigurationOrDataIsRefusedByName) {
  const TemporaryFolder folder;
  const auto dir = folder / "run";
  run(config_for(dir, {"train.steps=5"}));
  const std::string changed = error_of([&] { run(config_for(dir, {"compressor.ratio=8", "train.lr=1e-3"})); });
  EXPECT_NE(changed.find("compressor.ratio was 4, is 8"), std::string::npos);
  EXPECT_NE(changed.find("train.lr"), std::string::npos);
  EXPECT_NE(error_of([&] { run(config_for(dir), 2); }).find("training data has changed"), std::string::npos);
}

TEST(Training, AFolderInUseIsRefused) {
  const TemporaryFolder folder;
  const RunFolder held(folder / "run", config_for(folder / "run"));
  EXPECT_NE(error_of([&] { run(config_for(folder / "run")); }).find("in use"), std::string::npos);
}

TEST(Training, BatchesAreAPureFunctionOfSeedAndStep) {
  const auto tokenizer = letter_tokenizer();
  const Config config = config_for("unused");
  const TrainingSet data(passages(), *tokenizer, config.data, false);
  for (const Task task : {Task::ae, Task::lm, Task::qa}) {
    const auto a = data.batch(1, 7, 3, task), b = data.batch(1, 7, 3, task), c = data.batch(1, 8, 3, task);
    EXPECT_TRUE(a.context.ids.equal(b.context.ids) && a.task.ids.equal(b.task.ids) &&
                a.task.labels.equal(b.task.labels));
    EXPECT_FALSE(a.context.ids.sizes() == c.context.ids.sizes() && a.context.ids.equal(c.context.ids));
  }
}

TEST(Schedule, WarmsUpAndDecays) {
  TrainConfig t;
  t.lr = 1;
  t.warmup_steps = 10;
  t.final_lr_share = 0;
  t.schedule = "cosine";
  EXPECT_NEAR(learning_rate(t, 0, 0), 0.1, 1e-12);
  EXPECT_NEAR(learning_rate(t, 20, 0.5), 0.5, 1e-12);
  EXPECT_NEAR(learning_rate(t, 20, 1), 0, 1e-12);
  t.schedule = "linear";
  EXPECT_NEAR(learning_rate(t, 20, 0.25), 0.75, 1e-12);
}

TEST(Optimizer, OneStepEqualsTheFormula) {
  TrainConfig t;
  t.weight_decay = 0.1;
  const Tensor p = torch::tensor({1.0f, -2.0f}).requires_grad_();
  AdamW optimizer({{"p", p}}, t);
  p.mutable_grad() = torch::tensor({0.5f, -0.25f});
  optimizer.step(0.01);
  // After one step m / (1 - beta1) is the gradient and sqrt(v / (1 - beta2)) its magnitude.
  EXPECT_NEAR(p[0].item<float>(), 1.0 * (1 - 0.001) - 0.01, 1e-5);
  EXPECT_NEAR(p[1].item<float>(), -2.0 * (1 - 0.001) + 0.01, 1e-5);
}

}  // namespace
}  // namespace precis

// Resuming a training is exact bit for bit; invalid resumes are rejected.
#include <gtest/gtest.h>
#include <torch/types.h>

#include <chrono>

#include "precis/compress/checkpoint.h"
#include "precis/config/schema.h"
#include "precis/core/strings.h"
#include "precis/data/corpus_windows.h"
#include "precis/data/synth.h"
#include "precis/methods/memory_tokens.h"
#include "precis/train/objective.h"
#include "precis/train/run_folder.h"
#include "precis/train/trainer.h"
#include "support.h"
#include "training.h"

namespace precis {
namespace {

using testing::error_of;
using testing::letter_tokenizer;
using testing::losses;
using testing::passages;
using testing::run_training;
using testing::TemporaryFolder;
using testing::tiny_decoder;
using testing::training_config;
using testing::write_text;

TEST(Training, ResumedRunEqualsAnUninterruptedOneBitForBit) {
  const TemporaryFolder folder;
  for (const char* mix : {"joint", "sample"}) {
    const std::string option = cat("train.objectives.mix=", mix);
    const auto whole = folder / (std::string("whole-") + mix), broken = folder / (std::string("broken-") + mix);
    run_training(training_config(whole, {option, "train.schedule=constant"}));
    run_training(training_config(broken, {option, "train.schedule=constant", "train.steps=5"}));
    run_training(training_config(broken, {option, "train.schedule=constant"}));
    for (const char* file : {"compressor.safetensors", "optimizer.safetensors"}) {
      EXPECT_EQ(read_file(whole / "checkpoints/step-000010" / file),
                read_file(broken / "checkpoints/step-000010" / file))
          << file;
    }
    EXPECT_EQ(losses(whole), losses(broken));
  }
}

TEST(Training, AnInterruptedSaveIsIgnoredAndMetricsAfterTheCheckpointAreDropped) {
  const TemporaryFolder folder;
  const auto dir = folder / "run";
  run_training(training_config(dir, {"train.steps=5"}));
  std::filesystem::create_directories(dir / "checkpoints/.step-000007.tmp-1");
  std::filesystem::create_directories(dir / "checkpoints/step-000008");  // no state.json
  append_line(dir / "metrics.jsonl", R"({"event":"step","step":7,"loss":1.0})");
  append_line(dir / "metrics.jsonl", R"({"event":"st)");
  run_training(training_config(dir));
  const auto lines = losses(dir);
  EXPECT_EQ(lines.size(), 10u);
  EXPECT_FALSE(std::filesystem::exists(dir / "checkpoints/.step-000007.tmp-1"));
}

TEST(Training, ChangedConfigurationOrDataIsRefusedByName) {
  const TemporaryFolder folder;
  const auto dir = folder / "run";
  run_training(training_config(dir, {"train.steps=5"}));
  const std::string changed = error_of([&] {
    run_training(training_config(dir, {"compressor.ratio=8", "train.lr=1e-3"}));
  });
  EXPECT_CONTAINS(changed, "compressor.ratio was 4, is 8");
  EXPECT_CONTAINS(changed, "train.lr");
  EXPECT_CONTAINS(error_of([&] { run_training(training_config(dir), 2); }), "training data has changed");
}

TEST(Training, ACheckpointAroundAnotherModelOrTokenizerIsNotResumed) {
  const TemporaryFolder folder;
  const auto dir = folder / "run";
  run_training(training_config(dir, {"train.steps=5"}));
  const auto file = dir / "checkpoints" / "step-000005" / "compressor.json";
  const Json made = read_json(file);
  for (const auto& [key, words] : {std::pair{"base_fingerprint", "trained with another base model"},
                                   std::pair{"tokenizer_hash", "trained with another tokenizer"}}) {
    Json other = made;
    other[key] = "another";
    write_json(file, other);
    const std::string message = error_of([&] { run_training(training_config(dir)); });
    EXPECT_CONTAINS(message, words);
    EXPECT_CONTAINS(message, "another (trained with)");
    EXPECT_CONTAINS(message, made[key].get<std::string>() + " (given now)");
  }
  write_json(file, made);
  run_training(training_config(dir));
  EXPECT_EQ(losses(dir).size(), 10u);
}

TEST(Training, AFolderInUseIsRefused) {
  const TemporaryFolder folder;
  const RunFolder held(folder / "run", training_config(folder / "run"));
  EXPECT_CONTAINS(error_of([&] { run_training(training_config(folder / "run")); }), "in use");
}

TEST(Training, CheckpointsAreInOrderOfTheirSteps) {
  const TemporaryFolder folder;
  const RunFolder run(folder / "run", training_config(folder / "run"));
  for (const char* name : {"step-1000000", "step-000200", "step-999999"})
    testing::write_text(run.path() / "checkpoints" / name / "state.json", "{}");
  const auto all = run.checkpoints();
  ASSERT_EQ(all.size(), 3u);
  EXPECT_EQ(all.front().filename(), "step-000200");
  EXPECT_EQ(all.back().filename(), "step-1000000");
}

TEST(Training, ResumesFromTheNewestStepWhateverTheClockSays) {
  const TemporaryFolder folder;
  run_training(training_config(folder / "run", {"train.steps=10", "train.schedule=constant"}));
  const auto checkpoints = folder / "run" / "checkpoints";
  // As if the clock had gone back by a day between the two saves.
  std::filesystem::last_write_time(
      checkpoints / "step-000010" / "state.json",
      std::filesystem::last_write_time(checkpoints / "step-000005" / "state.json") - std::chrono::hours(24));
  std::filesystem::last_write_time(
      checkpoints / "step-000010",
      std::filesystem::last_write_time(checkpoints / "step-000005") - std::chrono::hours(24));
  run_training(training_config(folder / "run", {"train.steps=12", "train.schedule=constant"}));
  EXPECT_EQ(losses(folder / "run").size(), 12u);
}

TEST(Training, WhatIsAllowedToChangeMayChange) {
  const TemporaryFolder folder;
  run_training(training_config(folder / "run", {"train.steps=5"}));
  const std::vector<std::string> changed = {"train.lr=1e-3", "train.clip=2"};
  auto allowed = changed;
  allowed.push_back("train.allow_changes=train.lr");
  const std::string message = error_of([&] { run_training(training_config(folder / "run", allowed)); });
  EXPECT_CONTAINS(message, "train.clip") << message;
  EXPECT_EQ(message.find("train.lr was"), std::string::npos) << message;
  allowed.back() = "train.allow_changes=train.lr,train.clip";
  run_training(training_config(folder / "run", allowed));
  EXPECT_EQ(losses(folder / "run").size(), 10u);
}

TEST(Training, AShardThatGoesBadEndsTheRunAndLeavesTheLastCheckpoint) {
  const TemporaryFolder folder;
  const auto tokenizer = letter_tokenizer();
  std::string text;
  for (int i = 0; i < 9000; ++i) text += cat("Sentence.number.", i, ".");
  for (int i = 0; i < 9; ++i) write_text(folder / cat("book-", i, ".txt"), text);
  PrepareOptions options;
  options.sources = {(folder / "book-*.txt").string()};
  options.shard_tokens = 100000;
  const Json manifest = prepare_corpus(options, *tokenizer, folder / "corpus");
  ASSERT_GT(manifest["shards"].size(), 1u);
  const auto train_on = [&](const std::vector<std::string>& more, const char* dir = "run") {
    std::vector<std::string> overrides = {"train.objectives.qa=0",
                                          "train.objectives.lm=1",
                                          "data.max_context_tokens=64",
                                          "data.continuation_tokens=16",
                                          "train.save_interval=1",
                                          "train.schedule=constant",
                                          "train.batch=1",
                                          "train.keep=1"};
    overrides.insert(overrides.end(), more.begin(), more.end());
    const Config config = training_config(folder / dir, overrides);
    const auto compressor = CompressorRegistry::built_in().make(
        config.compressor, surroundings_of(tiny_decoder("cpu", 1024), *tokenizer, 3));
    const auto data = open_training_set({(folder / "corpus").string()}, *tokenizer, config.data, false);
    return train(*compressor, {{stages_of(config).front(), data}}, config).steps;
  };
  EXPECT_EQ(train_on({"train.steps=3"}), 3);
  EXPECT_CONTAINS(error_of([&] {
                    train_on({"train.steps=4", "train.objectives.qa=1", "train.objectives.lm=0"}, "other");
                  }),
                  "no questions");
  // The last shard becomes corrupt on disk: the run ends when it first needs it.
  const auto shard = folder / "corpus" / manifest["shards"].back()["file"].get<std::string>();
  const std::string good = read_file(shard);
  std::string bad = good;
  bad[bad.size() - 100] ^= 1;
  write_text(shard, bad);
  const std::string message = error_of([&] { train_on({"train.steps=60"}); });
  EXPECT_CONTAINS(message, shard.filename().string()) << message;
  EXPECT_CONTAINS(message, "corrupt") << message;
  write_text(shard, good);
  EXPECT_EQ(train_on({"train.steps=60"}), 60);  // resumes from the last checkpoint
  EXPECT_EQ(losses(folder / "run").size(), 60u);
  // Another corpus in its place is an error.
  std::filesystem::remove_all(folder / "corpus");
  write_text(folder / "book-0.txt", "Another.beginning." + text);
  prepare_corpus(options, *tokenizer, folder / "corpus");
  EXPECT_CONTAINS(error_of([&] { train_on({"train.steps=61"}); }), "training data has changed");
}

TEST(Training, TheBestCheckpointIsKeptAndATargetEndsTheRun) {
  const TemporaryFolder folder;
  const auto tokenizer = letter_tokenizer();
  const auto train_with = [&](const std::filesystem::path& dir, std::vector<std::string> options) {
    options.insert(options.end(), {"train.eval_interval=2", "train.keep_best=em_percent", "train.keep=1"});
    const Config config = training_config(dir, options);
    const auto compressor = CompressorRegistry::built_in().make(
        config.compressor, surroundings_of(tiny_decoder("cpu", 1024), *tokenizer, 3));
    const PassageSet data(passages(), *tokenizer, config.data, false);
    int64_t calls = 0;  // scores 10, 40, 30, 20, 10
    return train(*compressor, data, config, [&](Compressor&) -> Json {
      static const std::vector<double> scores = {10, 40, 30, 20, 10};
      return {{"em_percent", scores[static_cast<size_t>(calls++)]}, {"f1_percent", 0.0}};
    });
  };
  train_with(folder / "best", {});
  EXPECT_TRUE(std::filesystem::exists(folder / "best" / "checkpoints" / "step-000004" / "compressor.json"));
  EXPECT_TRUE(std::filesystem::exists(folder / "best" / "checkpoints" / "step-000010"));
  EXPECT_FALSE(std::filesystem::exists(folder / "best" / "checkpoints" / "step-000002"));
  // The best one is exported, and each can be named.
  const auto exported = folder / "best" / "compressor", best = folder / "best" / "checkpoints" / "step-000004";
  EXPECT_EQ(read_file(exported / "compressor.safetensors"), read_file(best / "compressor.safetensors"));
  EXPECT_EQ(find_checkpoint(folder / "best", "best"), best);
  EXPECT_EQ(find_checkpoint(folder / "best", "4"), best);
  EXPECT_EQ(find_checkpoint(folder / "best", "last"), folder / "best" / "checkpoints" / "step-000010");
  EXPECT_CONTAINS(error_of([&] { find_checkpoint(folder / "best", "5"); }), "last, best or a step: 4, 10");
  EXPECT_CONTAINS(error_of([&] { find_checkpoint(folder / "nothing", "last"); }), "no checkpoints");
  EXPECT_EQ(train_with(folder / "target", {"train.target_em=35"}).steps, 4);
  EXPECT_TRUE(train_with(folder / "target", {"train.target_em=35"}).already_finished);
}
}  // namespace
}  // namespace precis

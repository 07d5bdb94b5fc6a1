// Sweeps around a tiny decoder: cells, resuming, failures, tables.
#include <gtest/gtest.h>
#include <torch/types.h>

#include <cmath>
#include <stdexcept>
#include <thread>

#include "precis/compress/prompt.h"
#include "precis/core/file.h"
#include "precis/core/strings.h"
#include "precis/data/synth.h"
#include "precis/eval/evaluator.h"
#include "precis/eval/metrics.h"
#include "precis/sweep/sweep.h"
#include "training.h"

namespace precis {
namespace {

namespace fs = std::filesystem;
using testing::error_of;
using testing::TemporaryFolder;

// A sweep around the tiny decoder: two methods, two ratios, one or two seeds.
class Sweeps : public ::testing::Test {
 protected:
  Sweeps() {
    testing::write_tiny_model(folder / "model", {{"max_position_embeddings", 1024}});
    testing::write_letter_tokenizer(folder / "model");
    for (const char* split : {"train", "eval"})
      write_file_atomically(folder / (std::string(split) + ".jsonl"),
                            [&](std::ostream& out) { write_synth(out, {.count = 6, .seed = 1, .split = split}); });
  }

  std::vector<ConfigLayer> layers(const std::string& dir, const std::vector<std::string>& more = {}) const {
    std::vector<std::string> all = {
        "model.path=" + (folder / "model").string(),
        "data.train=" + (folder / "train.jsonl").string(),
        "data.eval=" + (folder / "eval.jsonl").string(),
        "data.max_context_tokens=400",
        "compressor.segment_length=64",
        "train.steps=4",
        "train.batch=2",
        "train.eval_interval=2",
        "train.log_interval=1",
        "eval.max_new_tokens=4",
        "eval.bootstrap_samples=50",
        R"(sweep.methods=[{"name":"pic","set":["compressor.method=pic","compressor.lora.rank=2"]},{"name":"icae","set":["compressor.method=icae","compressor.lora.rank=2"]}])",
        "sweep.ratios=4,8",
        "sweep.baseline=icae",
        "run.dir=" + (folder / dir).string()};
    all.insert(all.end(), more.begin(), more.end());
    return config_layers("", all);
  }
  SweepOutcome sweep(const std::string& dir, const std::vector<std::string>& more = {}) const {
    return run_sweep(layers(dir, more), CompressorRegistry::built_in());
  }
  // All scores by row, without fields that depend on time.
  std::map<std::string, Json> scores(const std::string& dir) const {
    std::map<std::string, Json> out;
    for (const Json& line : read_sweep_results(folder / dir))
      out[line["cell"].get<std::string>() + "/" + line["row"]["name"].get<std::string>()] =
          Json{line["row"]["tasks"], line["items"]};
    return out;
  }

  TemporaryFolder folder;
};

TEST_F(Sweeps, EveryCellRunsOnceAndIsRepeatable) {
  const SweepOutcome first = sweep("a");
  EXPECT_EQ(first.cells, 5);
  EXPECT_EQ(first.done_now, 5);
  const auto results = read_sweep_results(folder / "a");
  EXPECT_EQ(results.size(), 8u);  // four trained rows; full, none, truncate at two ratios
  const std::string before = read_file(folder / "a" / "results.jsonl");
  EXPECT_EQ(sweep("a").done_now, 0);
  EXPECT_TRUE(before == read_file(folder / "a" / "results.jsonl"));
  const std::string tables = read_file(folder / "a" / "results.md");
  for (const char* part :
       {"| pic | 4x |", "| icae | 8x |", "| full |", "Time to the best", "Difference to icae", "Cost"})
    EXPECT_CONTAINS(tables, part) << part << "\n" << tables;
  sweep("b");
  EXPECT_EQ(scores("a"), scores("b"));
  const Json plan = sweep_plan(layers("a", {"sweep.seeds=1,2"}), CompressorRegistry::built_in().methods());
  EXPECT_EQ(plan.size(), 9u);
  EXPECT_EQ(plan[0]["state"], "done");
  EXPECT_TRUE(plan[8].contains("estimated_seconds"));
}

TEST_F(Sweeps, ResultsOfOtherSettingsAreRefusedAndTheSettingsNamed) {
  const std::string one = "sweep.ratios=4";
  sweep("a", {one});
  const std::string before = read_file(folder / "a" / "results.jsonl");
  const auto refusal = [&](const std::string& change) { return error_of([&] { sweep("a", {one, change}); }); };
  EXPECT_CONTAINS(refusal("train.lr=0.0123"), "pic-4x-seed-1: train.lr was");
  EXPECT_CONTAINS(refusal("eval.limit=1"), "references-4x: eval.limit was");
  EXPECT_CONTAINS(refusal("data.query_template={question}"), "data.query_template");
  EXPECT_EQ(read_file(folder / "a" / "results.jsonl"), before);
  for (const Json& row : sweep_plan(layers("a", {one, "train.lr=0.0123"}), CompressorRegistry::built_in().methods())) {
    const bool trained = row["cell"] != "references-4x";
    EXPECT_EQ(row["state"], trained ? "other settings" : "done") << row;
    EXPECT_EQ(row.value("error", "").find("train.lr was") != std::string::npos, trained) << row;
  }
  // What changes no result may change, and other cells may be added.
  EXPECT_EQ(sweep("a", {one, "train.save_interval=1", "run.threads=1", "eval.references=[]"}).done_now, 0);
  EXPECT_EQ(sweep("a", {one, "sweep.seeds=1,2"}).done_now, 2);
  // Lines of an earlier version do not name their settings.
  std::string without;
  for (Json line : read_sweep_results(folder / "a")) {
    EXPECT_FALSE(line.at("settings_hash").get<std::string>().empty());
    line.erase("settings");
    without += line.dump() + "\n";
  }
  testing::write_text(folder / "a" / "results.jsonl", without);
  EXPECT_EQ(sweep("a", {one, "train.lr=0.0123"}).done_now, 0);
}

TEST_F(Sweeps, TimeToTargetTakesTheLowestOfALossAndTheHighestOfAShare) {
  sweep("a", {"sweep.ratios=4"});
  std::vector<Json> results = read_sweep_results(folder / "a");
  for (Json& line : results) {
    const bool is_baseline = line["method"] == "icae";
    const std::vector<double> losses = is_baseline ? std::vector{3.5, 2.0, 2.5} : std::vector{3.0, 2.2, 1.9};
    Json& curve = line["row"]["learning_curve"] = Json::array();
    for (size_t i = 0; i < losses.size() && !line["reference"].get<bool>(); ++i)
      curve.push_back({{"step", 10 * (i + 1)},
                       {"train_seconds", i + 1.0},
                       {"train_tokens", 100 * (i + 1)},
                       {"loss_nats", losses[i]},
                       {"share_percent", losses[i]}});
  }
  const std::string lowest = sweep_markdown(results, "icae", "loss_nats"),
                    highest = sweep_markdown(results, "icae", "share_percent");
  EXPECT_CONTAINS(lowest, "| pic | 4x | 1 | 2.000 | 2 s, 20 steps | 3 s, 30 steps |") << lowest;
  EXPECT_CONTAINS(highest, "| pic | 4x | 1 | 3.5 | 1 s, 10 steps | not reached") << highest;
}

TEST_F(Sweeps, AGridOfMoreRatiosGetsTheirReferencesToo) {
  const std::string few =
      R"(sweep.methods=[{"name":"icae","set":["compressor.method=icae","compressor.lora.rank=2"]}])";
  sweep("a", {few, "sweep.ratios=4"});
  EXPECT_EQ(sweep("a", {few}).done_now, 2);  // the references and the cell of 8x
  const std::string tables = read_file(folder / "a" / "results.md");
  for (const char* row : {"| truncate | 4x | 1 |", "| truncate | 8x | 1 |", "| full |  | 1 |"})
    EXPECT_CONTAINS(tables, row) << row << "\n" << tables;
}

TEST_F(Sweeps, MissingCellsAreEstimatedFromFinishedOnes) {
  const std::string pic = R"(sweep.methods=[{"name":"pic","set":["compressor.method=pic","compressor.lora.rank=2"]})";
  sweep("a", {pic + "]", "sweep.ratios=4"});
  const Json plan = sweep_plan(
      layers("a",
             {pic + R"(,{"name":"long","set":["compressor.method=pic","compressor.lora.rank=2","train.steps=8"]}])",
              "sweep.ratios=4", "sweep.seeds=1,2"}),
      CompressorRegistry::built_in().methods());
  ASSERT_EQ(plan.size(), 5u);  // references; pic and long with seed 1, then with seed 2
  const double took = plan[1]["seconds"];
  EXPECT_NEAR(plan[3]["estimated_seconds"], took, 1e-6 * took);
  EXPECT_NEAR(plan[2]["estimated_seconds"], 2 * took, 1e-6 * took);  // twice the steps
}

TEST_F(Sweeps, AnIncompleteLastLineRunsAgainAndABrokenLineIsAnError) {
  sweep("a");
  const auto whole = scores("a");
  const fs::path file = folder / "a" / "results.jsonl";
  std::string text = read_file(file);
  testing::write_text(file, text.substr(0, text.size() - 100));
  EXPECT_EQ(sweep("a").done_now, 1);
  EXPECT_EQ(scores("a"), whole);
  text = read_file(file);
  text[text.find("\"row\"") + 1] = '"';
  testing::write_text(file, text);
  EXPECT_CONTAINS(error_of([&] { sweep("a"); }), "results.jsonl line");
}

TEST_F(Sweeps, AFailedCellIsReportedAndTheOthersRun) {
  const std::string broken =
      R"(sweep.methods=[{"name":"bad","set":["compressor.method=comprexit","compressor.comprexit.window=2","compressor.lora.rank=0"]},{"name":"icae","set":["compressor.method=icae","compressor.lora.rank=2"]}])";
  const SweepOutcome outcome = sweep("a", {broken});
  EXPECT_EQ(outcome.failed, 2);
  EXPECT_EQ(outcome.done_now, 3);
  const std::string failures = read_file(folder / "a" / "failures.jsonl");
  EXPECT_CONTAINS(failures, "bad-4x-seed-1") << failures;
  const Json plan = sweep_plan(layers("a", {broken}), CompressorRegistry::built_in().methods());
  EXPECT_EQ(plan[1]["state"], "failed");
  EXPECT_CONTAINS(plan[1]["error"].get<std::string>(), "transport window") << plan[1];
}

TEST_F(Sweeps, AScoreThatIsNotANumberLeavesTheTablesWhole) {
  sweep("a");
  std::string text = read_file(folder / "a" / "results.jsonl");
  Json line = Json::parse(text.substr(0, text.find('\n')));
  Json& measure = line["row"]["tasks"]["qa"]["measures"]["f1_percent"];
  measure = {{"value", nullptr}, {"low", nullptr}, {"high", nullptr}};
  line["items"]["qa"]["sums"][0] = {nullptr, 1};
  testing::write_text(folder / "a" / "results.jsonl", line.dump() + text.substr(text.find('\n')));
  EXPECT_EQ(sweep("a").done_now, 0);
  EXPECT_CONTAINS(read_file(folder / "a" / "results.md"), "| icae | 8x |");
}

// Means of embeddings, but for rows that are not a number, or none at all.
class Broken : public Compressor {
 public:
  Broken(const CompressorConfig& config, const Surroundings& surroundings) : Compressor(config, surroundings) {}
  Memory compress(const TokenBatch& context) override {
    if (ratio() == 8) throw std::runtime_error("ratio eight");
    Memory memory = empty_memory(context);
    memory.lengths = torch::ones_like(context.lengths);
    memory.segments = torch::zeros({context.lengths.size(0), 1}, torch::kLong);
    place_memory(memory);
    const Tensor rows = torch::full({context.lengths.size(0), 1, decoder().config().hidden}, NAN);
    memory.content = EmbeddingMemory{rows, rows};
    return memory;
  }
  DecoderInput prompt(const Memory& memory, const TaskTokens& task) const override {
    return embedding_prompt(decoder(), -1, {}, memory, task);
  }
};

TEST_F(Sweeps, ARowThatFailsLeavesTheOthersAndItsReasonInTheReport) {
  CompressorRegistry registry = CompressorRegistry::built_in();
  registry.add("broken", [](const auto& config, const auto& given) { return std::make_shared<Broken>(config, given); });
  const Config config = resolve_config(layers("r", {"compressor.ratio=[4, 8]", "eval.references=broken,mean-pool,none",
                                                    "eval.tasks=continuation", "data.continuation_tokens=8"}),
                                       registry.methods());
  const auto tokenizer = load_tokenizer(folder / "model");
  std::vector<size_t> rows_so_far;
  const Report report = evaluate(config, registry, load_decoder(folder / "model"), *tokenizer,
                                 [&](const Report& so_far) { rows_so_far.push_back(so_far.rows.size()); });
  EXPECT_EQ(rows_so_far, (std::vector<size_t>{1, 2, 3, 4, 5}));
  ASSERT_EQ(report.rows.size(), 5u);
  EXPECT_CONTAINS(report.rows[0].failures.at("continuation"), "not a number");
  EXPECT_CONTAINS(report.rows[1].failures.at("continuation"), "ratio eight");
  for (size_t i = 0; i < 5; ++i) EXPECT_EQ(report.rows[i].tasks.size(), i < 2 ? 0u : 1u) << report.rows[i].name;
  EXPECT_CONTAINS(report_markdown(report_json(report)), "| untrained-broken-8 | continuation | internal error: ratio");
  Config wrong = config;
  wrong.eval.references = {"mean-pol"};
  EXPECT_CONTAINS(error_of([&] { evaluate(wrong, registry, load_decoder(folder / "model"), *tokenizer); }),
                  "did you mean mean-pool?");
}

TEST_F(Sweeps, TwoThatShareAFolderRunNoCellTwice) {
  SweepOutcome outcomes[2];
  std::vector<std::thread> both;
  for (auto& outcome : outcomes) both.emplace_back([&] { outcome = sweep("a"); });
  for (auto& one : both) one.join();
  EXPECT_EQ(outcomes[0].done_now + outcomes[1].done_now, 5);
  EXPECT_EQ(read_sweep_results(folder / "a").size(), 8u);
  sweep("alone");
  EXPECT_EQ(scores("a"), scores("alone"));
}

TEST_F(Sweeps, OneTrainingServesAllRatios) {
  EXPECT_EQ(sweep("a", {"sweep.shared_ratios=true"}).cells, 3);
  std::set<int64_t> ratios;
  for (const Json& line : read_sweep_results(folder / "a")) {
    if (line["method"] == "pic") ratios.insert(line["ratio"].get<int64_t>());
  }
  EXPECT_EQ(ratios, (std::set<int64_t>{4, 8}));
}

TEST_F(Sweeps, DataSetsThatDifferInQuestionsOnlyShareATraining) {
  const std::string data = cat(R"(sweep.data=[{"name":"a","set":["data.eval=)", (folder / "eval.jsonl").string(),
                               R"("]},{"name":"b","set":["data.eval=)", (folder / "train.jsonl").string(), R"("]}])");
  EXPECT_EQ(sweep("a", {data, "train.eval_interval=0"}).cells, 10);
  EXPECT_TRUE(fs::exists(folder / "a" / "cells" / "pic-4x-seed-1-a" / "checkpoints"));
  EXPECT_FALSE(fs::exists(folder / "a" / "cells" / "pic-4x-seed-1-b" / "checkpoints"));
  EXPECT_TRUE(fs::exists(folder / "a" / "cells" / "pic-4x-seed-1-b" / "report" / "report.json"));
  for (const Json& line : read_sweep_results(folder / "a"))
    EXPECT_EQ(line["row"]["tasks"]["qa"]["items"], 18) << line["cell"];
}

TEST_F(Sweeps, AGridWithoutCellsOrWithTwoOfOneNameIsRefused) {
  EXPECT_CONTAINS(error_of([&] { sweep("a", {"sweep.ratios="}); }), "no cells");
  EXPECT_CONTAINS(error_of([&] { sweep("a", {R"(sweep.methods=[{"name":"x"},{"name":"x"}])"}); }), "duplicate name");
  EXPECT_CONTAINS(error_of([&] { sweep("a", {R"(sweep.methods=[{"name":"a/b"}])"}); }), "a/b");
  EXPECT_CONTAINS(error_of([&] { sweep("a", {R"(sweep.methods=[{"name":"full"}])"}); }), "no reference's name");
}

}  // namespace
}  // namespace precis

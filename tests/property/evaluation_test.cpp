// Tasks, readings, intervals and sweeps on a tiny decoder.
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

TEST(Bootstrap, IntervalsAreThoseOfTheNormalApproximationAndKnowContexts) {
  std::vector<double> values;
  std::vector<int64_t> single, in_fours;
  for (int64_t i = 0; i < 400; ++i) {
    values.push_back((i / 4) % 2 == 0 ? 1 : 0);  // all four items of a context agree
    single.push_back(i);
    in_fours.push_back(i / 4);
  }
  const Measure measure = mean_percent("x_percent", values);
  EXPECT_DOUBLE_EQ(value_of(measure), 50);
  const Interval one = bootstrap_interval(measure, single, 2000), four = bootstrap_interval(measure, in_fours, 2000);
  EXPECT_NEAR(one.high - one.low, 2 * 1.96 * 2.5, 0.6);    // sqrt(0.25 / 400) = 2.5 %
  EXPECT_NEAR(four.high - four.low, 2 * 1.96 * 5.0, 1.2);  // 100 contexts
  const Interval same = bootstrap_difference(measure, measure, in_fours, 100);
  EXPECT_EQ(same.low, 0);
  EXPECT_EQ(same.high, 0);
}

struct World {
  std::unique_ptr<Tokenizer> tokenizer = testing::letter_tokenizer();
  std::vector<Passage> passages = testing::passages();
  std::vector<AskedQuestion> questions = list_questions(passages, 0);
  Config config = testing::training_config("unused", {"eval.max_new_tokens=6", "data.continuation_tokens=8"});
  World() {
    for (auto& passage : passages) {
      passage.context.resize(120);  // the tiny decoder has 256 positions
      for (auto& question : passage.questions) question.options = {question.answers[0], "nobody.at.all", "x"};
    }
  }
};

TEST(Tasks, BatchesNeverChangeAScore) {
  World world;
  for (const auto& c : testing::compressor_cases()) {
    const auto compressor = testing::make_compressor(c);
    const auto reading = read_memory(*compressor, *world.tokenizer, world.config);
    for (const char* task : {"qa", "choice", "continuation"}) {
      world.config.eval.batch = 1;
      const auto one = run_task(task, *reading, *world.tokenizer, world.config, world.questions);
      world.config.eval.batch = 7;
      const auto seven = run_task(task, *reading, *world.tokenizer, world.config, world.questions);
      EXPECT_EQ(one->texts, seven->texts) << c.name << " " << task;
      EXPECT_EQ(one->groups, seven->groups);
      for (size_t m = 0; m < one->measures.size(); ++m)
        EXPECT_NEAR(value_of(one->measures[m]) / std::max(1e-9, value_of(seven->measures[m])),
                    value_of(seven->measures[m]) > 0 ? 1 : 0, 1e-5)
            << c.name << " " << task;
    }
  }
}

TEST(Tasks, PerplexityOfTheFullContextIsThatOfThePlainDecoder) {
  World world;
  const auto decoder = testing::tiny_decoder();
  const auto full = run_task("continuation", *read_text(*decoder, *world.tokenizer, world.config, "full", 4),
                             *world.tokenizer, world.config, world.questions);
  double sum = 0;
  int64_t count = 0;
  for (const auto& passage : world.passages) {
    const TokenIds ids = context_ids(*world.tokenizer, world.config.data, passage.context, false);
    const TokenBatch batch = token_batch({ids});
    const Tensor logits = decoder->logits(
        decoder->hidden({decoder->embed(batch.ids), batch.lengths, torch::arange(batch.ids.size(1)).unsqueeze(0)})[0]);
    const auto n = static_cast<int64_t>(ids.size());
    for (int64_t t = n - 7; t < n; ++t) {
      sum += logits[t - 1].log_softmax(0)[ids[static_cast<size_t>(t)]].item<double>();
      ++count;
    }
  }
  EXPECT_NEAR(std::log(value_of(full->measures[0])), -sum / static_cast<double>(count), 1e-5);
  EXPECT_EQ(full->measures[0].items[0][1], 7);  // the same 7 tokens of each context for every row
  const auto compressor = testing::make_compressor(testing::compressor_cases()[2]);
  const auto own = run_task("continuation", *read_memory(*compressor, *world.tokenizer, world.config), *world.tokenizer,
                            world.config, world.questions);
  EXPECT_EQ(own->measures[0].items[0][1], 7);
}

TEST(Tasks, ChoicesAreTheLikeliestByTheDecodersOwnNumbers) {
  World world;
  const auto decoder = testing::tiny_decoder();
  const auto chosen = run_task("choice", *read_text(*decoder, *world.tokenizer, world.config, "none", 4),
                               *world.tokenizer, world.config, world.questions);
  for (size_t q = 0; q < 5; ++q) {
    const Question& question = *world.questions[q].question;
    const TokenIds prompt =
        encode_template(*world.tokenizer, world.config.eval.prompt.without_context, {.question = question.text});
    double best = -1e30;
    std::string expected;
    for (const auto& option : question.options) {
      TokenIds ids = prompt;
      const TokenIds answer = world.tokenizer->encode(" " + option);
      ids.insert(ids.end(), answer.begin(), answer.end());
      const TokenBatch batch = token_batch({ids});
      const Tensor logits = decoder->logits(decoder->hidden(
          {decoder->embed(batch.ids), batch.lengths, torch::arange(batch.ids.size(1)).unsqueeze(0)})[0]);
      double sum = 0;
      for (size_t t = prompt.size(); t < ids.size(); ++t)
        sum += logits[static_cast<int64_t>(t) - 1].log_softmax(0)[ids[t]].item<double>();
      const double mean = sum / static_cast<double>(answer.size());
      if (mean > best) {
        best = mean;
        expected = option;
      }
    }
    EXPECT_EQ(chosen->texts[q], expected);
  }
  world.passages[0].questions[0].options.clear();
  EXPECT_CONTAINS(error_of([&] {
                    run_task("choice", *read_text(*decoder, *world.tokenizer, world.config, "none", 4),
                             *world.tokenizer, world.config, world.questions);
                  }),
                  "without options");
}

TEST(Tasks, TruncationKeepsOneTokenInRFromItsEnd) {
  World world;
  const auto decoder = testing::tiny_decoder();
  ReadingCost cost;
  const Passage& passage = world.passages[0];
  const auto source = static_cast<int64_t>(world.tokenizer->encode(passage.context).size());
  read_text(*decoder, *world.tokenizer, world.config, "truncate-first", 4)->ask({{&passage, "?", {}, {}}}, cost);
  EXPECT_EQ(cost.entries, (source + 3) / 4);
  EXPECT_EQ(cost.source_tokens, source);
}

TEST(Tasks, MemoriesAreAskedForTheTextItself) {
  World world;
  world.questions.resize(4);
  const auto compressor = testing::make_compressor({"icae", {"compressor.method=icae"}});
  const auto scores = run_task("reconstruction", *read_memory(*compressor, *world.tokenizer, world.config),
                               *world.tokenizer, world.config, world.questions);
  ASSERT_TRUE(scores);
  EXPECT_EQ(scores->measures.size(), 5u);
  EXPECT_EQ(scores->measures[0].items[0][1],
            static_cast<double>(world.tokenizer->encode(world.passages[0].context).size()));
  EXPECT_FALSE(run_task("reconstruction",
                        *read_text(*testing::tiny_decoder(), *world.tokenizer, world.config, "full", 4),
                        *world.tokenizer, world.config, world.questions));
}

TEST(Tasks, AutoencodingIsTheLossThatTrainingHas) {
  World world;
  world.questions.resize(1);
  const auto compressor = testing::make_compressor({"icae", {"compressor.method=icae"}});
  const auto scores = run_task("autoencoding", *read_memory(*compressor, *world.tokenizer, world.config),
                               *world.tokenizer, world.config, world.questions);
  ASSERT_TRUE(scores);
  const TokenBatch context = token_batch({world.tokenizer->encode(world.passages[0].context)});
  const TaskTokens task{Task::ae, context.ids, context.lengths, context.ids, torch::zeros({1}, torch::kLong)};
  const at::NoGradGuard no_gradient;
  const LossSum loss = decoder_loss(compressor->decoder(), compressor->prompt(compressor->compress(context), task));
  EXPECT_EQ(loss.count, static_cast<double>(context.ids.size(1)));
  ASSERT_EQ(scores->measures[1].name, "autoencoding_loss_nats");
  EXPECT_NEAR(value_of(scores->measures[1]), loss.sum.item<double>() / loss.count, 1e-4);
  EXPECT_FALSE(run_task("autoencoding", *read_text(*testing::tiny_decoder(), *world.tokenizer, world.config, "full", 4),
                        *world.tokenizer, world.config, world.questions));
}

TEST(Tasks, TheSmallDecodersAnswerFromTheFullContextAndNotWithout) {
  const fs::path source(PRECIS_SOURCE_DIR);
  const Config config =
      resolve_config(config_layers(source / "configs/sweeps/small.json", {}), CompressorRegistry::built_in().methods());
  const auto expect = [&](const char* name, int64_t entities, double at_least) {
    const auto decoder = load_decoder(source / "assets" / name);
    const auto tokenizer = load_tokenizer(source / "assets" / name);
    std::vector<Passage> passages;
    for (int64_t i = 0; i < 20; ++i)
      passages.push_back(synth_passage({.entities = entities, .seed = 7, .split = "eval"}, i));
    const auto questions = list_questions(passages, 0);
    const auto em = [&](const char* reference) {
      return value_of(
          run_task("qa", *read_text(*decoder, *tokenizer, config, reference, 4), *tokenizer, config, questions)
              ->measures[0]);
    };
    EXPECT_GT(em("full"), at_least) << name;
    EXPECT_LT(em("none"), 10) << name;
  };
  expect("small-decoder", 1, 90);
  expect("small-decoder-long", 4, 60);
}

TEST(Data, KeyValueRecordsBecomeAQuestionForTheKey) {
  const TemporaryFolder folder;
  testing::write_text(folder / "kv.jsonl", R"({"ordered_kv_records":[["k1","v1"],["k2","v2"]],"key":"k2","value":"v2"})"
                                           "\n");
  const auto passages = read_qa(folder / "kv.jsonl");
  EXPECT_EQ(passages[0].context, "{\"k1\": \"v1\",\n \"k2\": \"v2\"}");
  EXPECT_EQ(passages[0].questions[0].text, "k2");
  EXPECT_EQ(passages[0].questions[0].answers, (std::vector<std::string>{"v2"}));
  testing::write_text(folder / "bad.jsonl", R"({"ordered_kv_records":[["k1"]],"key":"k2","value":"v2"})");
  EXPECT_CONTAINS(error_of([&] { read_qa(folder / "bad.jsonl"); }), "line 1");
}

TEST(Synth, YesNoAndDemonstrationsHaveOptionsAndBothAnswers) {
  for (const char* kind : {"yes-no", "icl"}) {
    int first = 0, all = 0;
    for (int64_t i = 0; i < 60; ++i) {
      const Passage passage = synth_passage({.kind = kind, .seed = 1, .split = "eval"}, i);
      EXPECT_EQ(passage.questions.size(), 3u);
      for (const auto& question : passage.questions) {
        ASSERT_EQ(question.options.size(), 2u);
        first += question.answers[0] == question.options[0] ? 1 : 0;
        ++all;
      }
    }
    EXPECT_NEAR(static_cast<double>(first) / all, 0.5, 0.2) << kind;
  }
}

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

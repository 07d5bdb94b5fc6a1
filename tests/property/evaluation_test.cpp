// Tasks, readings and intervals on a tiny decoder.
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

}  // namespace
}  // namespace precis

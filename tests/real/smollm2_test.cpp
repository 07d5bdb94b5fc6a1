// The real pretrained decoder: it answers from full context like the same model in Hugging Face, and a short training
// run around it learns. Ids, logits and greedy text are golden cases (tests/golden_shared.sh).
#include <gtest/gtest.h>
#include <torch/types.h>

#include "precis/compress/checkpoint.h"
#include "precis/config/schema.h"
#include "precis/core/strings.h"
#include "precis/data/passage_set.h"
#include "precis/data/synth.h"
#include "precis/eval/tasks.h"
#include "precis/train/trainer.h"
#include "support.h"

namespace precis {
namespace {

using testing::shared_folder;
using testing::smollm2_file;

TEST(SmolLm2, AnswersSquadAsHuggingFaceDoes) {
  PRECIS_SKIP_WITHOUT(smollm2_file());
  PRECIS_SKIP_WITHOUT(shared_folder());
  const Json reference = read_json(shared_folder() / "golden/smollm2/squad_full_predictions.json").at("predictions");
  const auto decoder = load_decoder(smollm2_file(), "float32");
  const auto tokenizer = load_tokenizer(smollm2_file());
  const std::vector<Passage> passages = read_qa(shared_folder() / "data/qa/eval/squad.jsonl.gz");
  Config config;
  config.eval.batch = 8;
  const int64_t count = 16;
  const auto questions = list_questions(passages, count);
  const auto answers =
      run_task("qa", *read_text(*decoder, *tokenizer, config, "full", 4), *tokenizer, config, questions);
  for (size_t i = 0; i < answers->texts.size(); ++i) {
    ASSERT_EQ(questions[i].question->id, reference[i].at("id"));
    if (reference[i].at("min_margin").get<double>() < 0.01) continue;  // rounding alone may flip such a choice
    EXPECT_EQ(answers->texts[i], trim(reference[i].at("text").get<std::string>())) << questions[i].question->text;
  }
}

TEST(SmolLm2, TheWorkedExamplePromptIsWhatMakesItAnswer) {
  PRECIS_SKIP_WITHOUT(smollm2_file());
  const auto decoder = load_decoder(smollm2_file(), "auto");
  const auto tokenizer = load_tokenizer(smollm2_file());
  std::vector<Passage> passages;
  for (int64_t i = 0; i < 20; ++i) passages.push_back(synth_passage({.seed = 1, .split = "eval"}, i));
  const auto questions = list_questions(passages, 0);
  const auto f1 = [&](const char* prompt) {
    const Config config = resolve_config(
        config_layers(std::filesystem::path(PRECIS_SOURCE_DIR) / "configs/templates" / prompt, {"eval.batch=12"}),
        CompressorRegistry::built_in().methods());
    const auto scores =
        run_task("qa", *read_text(*decoder, *tokenizer, config, "full", 4), *tokenizer, config, questions);
    return value_of(scores->measures[1]);
  };
  const double worked = f1("worked-example.json"), plain = f1("plain.json");
  RecordProperty("worked_example_f1", cat(worked));
  RecordProperty("plain_f1", cat(plain));
  EXPECT_GT(worked, 55);
  EXPECT_GT(worked, plain + 20);
}

TEST(SmolLm2, AShortTrainingLearns) {
  PRECIS_SKIP_WITHOUT(smollm2_file());
  const testing::TemporaryFolder folder;
  const auto config_file = std::filesystem::path(PRECIS_SOURCE_DIR) / "configs/quickstart/sac.json";
  const Config config =
      resolve_config(config_layers(config_file, {"train.steps=60", "train.max_seconds=0", "train.eval_seconds=0",
                                                 "train.warmup_steps=5", "train.schedule=constant",
                                                 "train.log_interval=20", "run.dir=" + (folder / "run").string()}),
                     CompressorRegistry::built_in().methods());
  const auto decoder = load_decoder(smollm2_file(), "auto");
  const auto tokenizer = load_tokenizer(smollm2_file());
  const auto compressor =
      CompressorRegistry::built_in().make(config.compressor, surroundings_of(decoder, *tokenizer, 1));
  std::vector<Passage> passages;
  for (int64_t i = 0; i < 120; ++i) passages.push_back(synth_passage({.seed = 2}, i));
  const PassageSet data(passages, *tokenizer, config.data, false);
  train(*compressor, data, config);
  std::vector<double> losses;
  for (const auto& line : split(read_file(folder / "run/metrics.jsonl"), '\n')) {
    if (!line.empty()) losses.push_back(parse_json(line, "metrics").at("loss"));
  }
  ASSERT_EQ(losses.size(), 3u);
  EXPECT_LT(losses[2], 0.7 * losses[0]);
}

}  // namespace
}  // namespace precis

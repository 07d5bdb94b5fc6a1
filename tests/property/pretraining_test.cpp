// Pretraining a decoder: its training data, that it learns, and its errors.
#include <torch/types.h>

#include "precis/core/file.h"
#include "precis/data/pretraining_set.h"
#include "precis/model/decoder.h"
#include "precis/train/pretrain.h"
#include "training.h"

namespace precis {
namespace {

using testing::error_of;
using testing::TemporaryFolder;

PretrainOptions tiny() {
  return {.hidden = 32,
          .layers = 2,
          .heads = 2,
          .kv_heads = 1,
          .intermediate = 48,
          .vocabulary = 512,
          .steps = 30,
          .batch = 4,
          .warmup_steps = 2,
          .log_interval = 5,
          .eval_interval = 15};
}

TEST(Pretraining, PassagesWeighTheirAnswers) {
  const TemporaryFolder folder;
  PretrainOptions options = tiny();
  options.steps = 1;
  pretrain(options, folder / "small");
  const auto tokenizer = load_tokenizer(folder / "small" / "tokenizer.model");
  const PretrainingPassages set({.contexts = 8, .questions = 2, .answer_weight = 10}, *tokenizer);
  const TrainingSet::Example a = set.in_order(Task::lm, 3, 1);
  const Passage passage = PretrainingPassages::passage({.contexts = 8, .questions = 2, .answer_weight = 10}, 3);
  int64_t heavy = 0;
  for (const auto& question : passage.questions)
    heavy += static_cast<int64_t>(tokenizer->encode(" " + question.answers[0]).size() + tokenizer->encode("\n").size());
  EXPECT_EQ(a.weights.eq(10).sum().item<int64_t>(), heavy);
  EXPECT_EQ(a.weights.eq(1).sum().item<int64_t>(), a.task.lengths[0].item<int64_t>() - 1 - heavy);
  EXPECT_EQ(a.task.ids[0][0].item<int64_t>(), tokenizer->bos_id);
  EXPECT_EQ(a.task.labels[0][0].item<int64_t>(), -100);
}

TEST(Pretraining, LearnsACorpusAndMeasuresHeldOutText) {
  const TemporaryFolder folder;
  std::string text;
  for (int i = 0; i < 400; ++i) text += "The cat sat on the mat and the dog lay by the door.\n";
  testing::write_text(folder / "book.txt", text);
  PretrainOptions options = tiny();
  options.steps = 1;
  pretrain(options, folder / "tokenizer");  // only its vocabulary is used
  const auto tokenizer = load_tokenizer(folder / "tokenizer");
  PrepareOptions prepare;
  prepare.sources = {(folder / "book.txt").string()};
  prepare_corpus(prepare, *tokenizer, folder / "corpus");
  options = tiny();
  options.steps = 200;
  options.learning_rate = 5e-3;
  options.corpus = options.held_out = (folder / "corpus").string();
  options.tokenizer = (folder / "tokenizer").string();
  options.context = 24;
  const Json training = pretrain(options, folder / "decoder");
  const Json &first = training.at("curve").front(), &last = training.at("curve").back();
  EXPECT_LT(last.at("held_out_loss").get<double>(), 0.5 * first.at("loss").get<double>()) << training.dump(1);
  EXPECT_FALSE(std::filesystem::exists(folder / "decoder" / "training"));
  EXPECT_EQ(load_decoder(folder / "decoder")->config().vocabulary, tokenizer->vocabulary_size());
  EXPECT_EQ(pretrain(options, folder / "decoder"), training);  // finished: unchanged
  options.tokenizer.clear();
  EXPECT_CONTAINS(error_of([&] { pretrain(options, folder / "other"); }), "--tokenizer");
  options.tokenizer = (folder / "tokenizer").string();
  options.context = 100000;
  EXPECT_CONTAINS(error_of([&] { pretrain(options, folder / "other"); }), "shorter than one window");
}

}  // namespace
}  // namespace precis

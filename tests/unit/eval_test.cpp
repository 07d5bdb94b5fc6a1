#include <gtest/gtest.h>

#include <set>

#include "precis/core/json.h"
#include "precis/core/strings.h"
#include "precis/data/synth.h"
#include "precis/data/templates.h"
#include "precis/eval/metrics.h"
#include "precis/eval/text_metrics.h"
#include "support.h"

namespace precis {
namespace {

TEST(Metrics, NormalisesAsTheSquadScorerDoes) {
  EXPECT_EQ(normalize_answer("The  Cat, a dog & An owl!"), "cat dog owl");
  EXPECT_EQ(normalize_answer("\xC3\x89mile's"), "\xC3\xA9miles");
  EXPECT_EQ(normalize_answer("another theory"), "another theory");
}

// Values of the official scorer: str.split() parts words at U+001C to U+001F, and \\b stands beside a combining mark.
TEST(Metrics, KnowsPythonsSpacesAndWords) {
  EXPECT_EQ(score_answer("ann a", {"ann\x1f"
                                   "a"})
                .exact_match,
            1);
  EXPECT_EQ(normalize_answer("a\xCC\x81"
                             "b"),
            normalize_answer("\xCC\x81"
                             "b"));
  EXPECT_EQ(normalize_answer("the_cat a1 \xC3\xA9"
                             "a"),
            "thecat a1 \xC3\xA9"
            "a");
}

TEST(Metrics, TakesTheBestGoldAnswer) {
  EXPECT_EQ(score_answer("the Denver Broncos", {"Broncos", "Denver Broncos"}).exact_match, 1);
  EXPECT_NEAR(score_answer("Denver Broncos team", {"Denver Broncos"}).f1, 0.8, 1e-12);
  EXPECT_EQ(score_answer("", {"x"}).f1, 0);
}

// Values from the packages rouge-score 0.1.2 (no stemmer) and sacrebleu 2.6.0 (corpus_bleu).
TEST(Metrics, RougeAndBleuAreThoseOfThePythonPackages) {
  struct Pair {
    std::string prediction, reference;
    double rouge_1, rouge_l, bleu;
  };
  const std::vector<Pair> pairs = {
      {"The cat sat on the mat.", "The cat is sitting on the mat.", 0.769230769231, 0.769230769231, 42.383656283},
      {"Ulonia Company was founded by Ivy Zanewick in 1813, in Denver.",
       "Ulonia Company was founded in 1813 by Ivy Zanewick. Its head office is in Denver.", 0.846153846154,
       0.692307692308, 28.433113185},
      {"hello", "hello", 1, 1, 0},
      {"a b c d e f g", "a b c d e f g", 1, 1, 100},
      {"It's 3,000.50 dollars -- isn't it?", "It is 3,000.50 dollars - isn't it?", 0.888888888889, 0.888888888889,
       26.647313141},
      {"", "something", 0, 0, 0},
      {"The quick brown fox jumps over the lazy dog &amp; runs away!",
       "A quick brown fox jumped over the lazy dogs & ran away!", 0.608695652174, 0.608695652174, 22.629440039},
      {"na\xC3\xAFve caf\xC3\xA9 \xC3\xBC"
       "ber",
       "naive cafe uber \xC3\xBC"
       "ber",
       0.25, 0.25, 0},
      {"one two three four five", "five four three two one", 1, 0.2, 15.973577606}};
  std::vector<double> all(10);
  for (const auto& pair : pairs) {
    const RougeScore score = rouge(pair.prediction, pair.reference);
    EXPECT_NEAR(score.rouge_1, pair.rouge_1, 1e-9) << pair.prediction;
    EXPECT_NEAR(score.rouge_l, pair.rouge_l, 1e-9) << pair.prediction;
    const auto counts = bleu_counts(pair.prediction, {pair.reference});
    EXPECT_NEAR(bleu_score(counts), pair.bleu, 1e-6) << pair.prediction;
    for (size_t k = 0; k < all.size(); ++k) all[k] += counts[k];
  }
  EXPECT_NEAR(bleu_score(all), 35.078219234, 1e-6);
}

TEST(Metrics, CutsAnswers) {
  EXPECT_EQ(cut_answer(" Paris.\nThe end", "newline"), "Paris.");
  EXPECT_EQ(cut_answer(" Paris. It is", "sentence"), "Paris");
}

TEST(Metrics, PublishedSquadPredictionsGetTheirOfficialScores) {
  const auto squad = testing::shared_folder() / "data/qa/squad";
  PRECIS_SKIP_WITHOUT(squad);
  const auto passages = read_qa(squad / "dev-v1.1.json");
  const std::map<std::string, std::pair<double, double>> official = {{"bert_ensemble", {86.2062, 92.1956}},
                                                                     {"match_lstm", {67.6348, 76.7556}},
                                                                     {"logistic_regression", {40.1419, 50.9815}}};
  for (const auto& [name, wanted] : official) {
    const Json predictions = read_json(squad / "predictions" / (name + ".json"));
    double em = 0, f1 = 0, questions = 0;
    for (const auto& passage : passages) {
      for (const auto& question : passage.questions) {
        ++questions;
        if (!predictions.contains(question.id)) continue;
        const AnswerScore score = score_answer(predictions.at(question.id), question.answers);
        em += score.exact_match;
        f1 += score.f1;
      }
    }
    EXPECT_NEAR(100 * em / questions, wanted.first, 5e-5) << name;
    EXPECT_NEAR(100 * f1 / questions, wanted.second, 5e-5) << name;
  }
}

TEST(Synth, AnswersOccurOnceAndSplitsShareNoInventedName) {
  std::set<std::string> words[2];
  for (int split_index = 0; split_index < 2; ++split_index) {
    for (int64_t i = 0; i < 200; ++i) {
      const Passage p = synth_passage({.seed = 4, .split = split_index == 0 ? "train" : "eval"}, i);
      ASSERT_EQ(p.questions.size(), 3u);
      for (const auto& q : p.questions) {
        const size_t at = p.context.find(q.answers[0]);
        ASSERT_NE(at, std::string::npos);
        EXPECT_EQ(p.context.find(q.answers[0], at + 1), std::string::npos);
      }
      words[split_index].insert(p.questions[0].text);
    }
  }
  for (const auto& text : words[0]) EXPECT_EQ(words[1].count(text), 0u) << text;  // questions name the entity
}

TEST(Synth, IsAPureFunctionOfItsOptions) {
  EXPECT_EQ(synth_passage({.seed = 5}, 17).context, synth_passage({.seed = 5}, 17).context);
  EXPECT_NE(synth_passage({.seed = 5}, 17).context, synth_passage({.seed = 6}, 17).context);
}

TEST(Templates, InsertDataAsItIs) {
  const auto tokenizer = load_tokenizer(PRECIS_SOURCE_DIR "/assets/small-decoder");
  const auto encoded = [&](const std::string& form, const std::string& context, const std::string& question) {
    return encode_template(*tokenizer, form, {context, question, ""});
  };
  EXPECT_EQ(encoded("C: {context} Q: {question}", "{question}", "who?"), tokenizer->encode("C: {question} Q: who?"));
  // Special tokens are parsed in the template only; plain text is encoded across the borders of its parts.
  const int64_t eos = tokenizer->eos_id;
  TokenIds expected = tokenizer->encode("one</s>two");
  EXPECT_EQ(encoded("on{question}two", "", "e</s>"), expected);
  EXPECT_EQ(std::count(expected.begin(), expected.end(), eos), 0);
  expected = tokenizer->encode("one ");
  expected.push_back(eos);
  for (const int64_t id : tokenizer->encode("</s> two")) expected.push_back(id);
  EXPECT_EQ(encoded("one </s>{question} two", "", "</s>"), expected);
}

TEST(Data, EverySharedSetReads) {
  const auto folder = testing::shared_folder() / "data/qa";
  PRECIS_SKIP_WITHOUT(folder);
  const std::map<std::string, std::pair<size_t, size_t>> sizes = {
      {"train/new_wiki", {1581, 7938}},  {"train/reddit", {2035, 9803}}, {"train/nq", {7021, 7021}},
      {"train/fairytale", {3457, 8548}}, {"eval/squad", {2067, 10570}},  {"eval/nq", {1355, 1355}}};
  for (const auto& [name, wanted] : sizes) {
    const auto passages = read_qa(folder / (name + ".jsonl.gz"));
    size_t questions = 0;
    for (const auto& passage : passages) questions += passage.questions.size();
    EXPECT_EQ(passages.size(), wanted.first) << name;
    EXPECT_EQ(questions, wanted.second) << name;
  }
}

}  // namespace
}  // namespace precis

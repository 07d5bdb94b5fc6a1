// Metrics of answers by name, against the scores of public evaluation code (scripts/make_score_golden.py).
#include "precis/eval/answer_metrics.h"

#include <gtest/gtest.h>

#include "precis/core/json.h"
#include "precis/eval/text_metrics.h"
#include "support.h"

namespace precis {
namespace {

double score_of(const std::string& metric, const std::string& answer, const Question& question) {
  return value_of(answer_measure(metric, {answer}, {&question}));
}

TEST(AnswerMetrics, EqualPublicEvaluationCode) {
  const Json golden = read_json(PRECIS_SOURCE_DIR "/tests/data/scores.json");
  const auto classes = golden.at("classes").get<std::vector<std::string>>();
  for (const auto& [metric, pairs] : golden.at("pairs").items()) {
    if (metric == "bleu_of_two_references") continue;  // of the whole corpus, below
    ASSERT_GE(pairs.size(), 30u) << metric;
    for (const Json& pair : pairs) {
      const Question question{"id", "", {pair[1].get<std::string>()}, classes};
      if (metric == "f1" && question.answers[0].empty()) continue;  // an unanswerable question, as in SQuAD 2
      EXPECT_NEAR(score_of(metric, pair[0], question), 100 * pair[2].get<double>(), 1e-9) << metric << pair.dump();
    }
  }
  std::vector<Question> questions;
  std::vector<std::string> answers;
  for (const Json& pair : golden.at("pairs").at("bleu_of_two_references")) {
    answers.push_back(pair[0]);
    questions.push_back({"id", "", pair[1].get<std::vector<std::string>>(), {}});
  }
  std::vector<const Question*> asked;
  for (const auto& question : questions) asked.push_back(&question);
  EXPECT_NEAR(value_of(answer_measure("bleu", answers, asked)), golden.at("bleu_of_two_references").get<double>(),
              1e-9);
}

TEST(AnswerMetrics, TakeTheBestGoldAnswerAndKnowUnanswerableQuestions) {
  const Question two{"id", "", {"red fox", "the grey wolf"}, {}}, none{"id", "", {""}, {}};
  EXPECT_EQ(score_of("em", "Grey wolf.", two), 100);
  EXPECT_EQ(score_of("contains", "I saw a grey wolf", two), 100);
  EXPECT_NEAR(score_of("rouge_l", "grey wolf", two), 80, 1e-9);
  EXPECT_EQ(score_of("match_all", "A RED FOX", two), 50);
  EXPECT_EQ(score_of("match_part", "A RED FOX", two), 100);
  for (const char* metric : {"em", "f1", "contains"}) {
    EXPECT_EQ(score_of(metric, "", none), 100) << metric;
    EXPECT_EQ(score_of(metric, "the", none), 100) << metric;  // nothing is left of it
    EXPECT_EQ(score_of(metric, "wolf", none), 0) << metric;
  }
  EXPECT_CONTAINS(testing::error_of([&] { score_of("classification", "x", two); }), "without options");
  EXPECT_CONTAINS(testing::error_of([&] { score_of("meteor", "x", two); }), "unknown metric");
}

}  // namespace
}  // namespace precis

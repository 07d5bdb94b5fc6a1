#include <cstdio>

#include "commands.h"
#include "precis/core/error.h"
#include "precis/core/log.h"
#include "precis/core/strings.h"
#include "precis/eval/answer_metrics.h"
#include "precis/eval/compare.h"
#include "precis/eval/predictions.h"

namespace precis {
namespace {

// The answers to a data set's questions, in its order.
struct Answered {
  std::vector<const Question*> questions;
  std::vector<std::string> answers;
  std::vector<bool> missing;
  size_t used = 0;  // predictions

  void add(const Question& question, const std::string* answer) {
    questions.push_back(&question);
    answers.push_back(answer == nullptr ? "" : *answer);
    missing.push_back(answer == nullptr);
  }

  // A question without a prediction scores 0.
  double score(const std::string& metric) const {
    Measure measure = answer_measure(metric, answers, questions);
    for (size_t i = 0; i < missing.size(); ++i) {
      if (missing[i]) measure.items[i][0] = 0;
    }
    return value_of(measure);
  }
  Answered part(bool unanswerable) const {
    Answered out;
    for (size_t i = 0; i < questions.size(); ++i) {
      if ((questions[i]->answers == std::vector<std::string>{""}) == unanswerable)
        out.add(*questions[i], missing[i] ? nullptr : &answers[i]);
    }
    return out;
  }
};

Answered answers_in(const Json& predictions, const std::vector<Passage>& passages, const std::string& where) {
  Answered out;
  PredictionIds unique;
  std::set<std::string> used;
  for (const auto& passage : passages) {
    for (const auto& question : passage.questions) {
      const std::string own = unique.next(question.id);  // "7~2"; a file may have one prediction for both
      const std::string& id = predictions.contains(own) ? own : question.id;
      if (!predictions.contains(id)) {
        out.add(question, nullptr);
        continue;
      }
      used.insert(id);
      const auto answer = json_get<std::string>(predictions, id, where);
      out.add(question, &answer);
    }
  }
  out.used = used.size();
  return out;
}

Json exact_match_and_f1(const Answered& answered) {
  return {
      {"exact_match", answered.score("em")}, {"f1", answered.score("f1")}, {"questions", answered.questions.size()}};
}

}  // namespace

void run_score(const ScoreCommand& c, const DataConfig& data) {
  const Json predictions = read_json(c.predictions);
  if (!predictions.is_object())
    throw Error({.what = "not a predictions file",
                 .where = c.predictions,
                 .expected = "an object: question id to text",
                 .found = json_kind(predictions)});
  const auto passages = read_qa(std::filesystem::path(c.dataset), data);
  const Answered answered = answers_in(predictions, passages, c.predictions);
  if (answered.used < predictions.size())
    log::warn(
        cat(c.predictions, ": ", predictions.size() - answered.used, " predictions have no question in ", c.dataset));
  Json result = Json::object();
  if (c.metrics.empty()) {
    result = exact_match_and_f1(answered);
    const Answered answerable = answered.part(false), unanswerable = answered.part(true);
    if (!unanswerable.questions.empty() && !answerable.questions.empty()) {
      result["answerable"] = exact_match_and_f1(answerable);
      result["unanswerable"] = exact_match_and_f1(unanswerable);
    }
  } else {
    for (const auto& metric : c.metrics)
      result[metric == "bleu" ? "bleu_4" : metric + "_percent"] = answered.score(metric);
    result["questions"] = answered.questions.size();
  }
  result["missing"] = std::count(answered.missing.begin(), answered.missing.end(), true);
  std::printf("%s\n", result.dump().c_str());
}

void run_compare(const CompareCommand& c) {
  if (c.reports.size() < 2)
    throw Error(
        {.what = "nothing to compare with", .where = "reports", .expected = "two folders of precis eval or more"});
  const Json comparisons = compare_reports({c.reports.begin(), c.reports.end()}, c.options);
  if (c.json) {
    for (const Json& comparison : comparisons) std::printf("%s\n", comparison.dump().c_str());
    return;
  }
  const std::vector<ReportTable> tables = {comparison_table(comparisons)};
  std::fputs((c.format == "csv"     ? comparison_csv(comparisons)
              : c.format == "latex" ? latex_of(tables)
                                    : markdown_of(tables))
                 .c_str(),
             stdout);
}

}  // namespace precis

#include "precis/eval/answer_metrics.h"

#include <algorithm>
#include <cmath>
#include <map>

#include "precis/core/error.h"
#include "precis/core/strings.h"
#include "precis/eval/longbench_metrics.h"
#include "precis/eval/metrics.h"
#include "precis/eval/text_metrics.h"
#include "precis/text/unicode.h"

namespace precis {
namespace {

using Score = double (*)(const std::string& answer, const Question& question);  // 0 to 1

template <class PerGold>
double best(const Question& question, const PerGold& score) {
  double best = 0;
  for (const auto& gold : question.answers) best = std::max(best, static_cast<double>(score(gold)));
  return best;
}

double exact_match(const std::string& answer, const Question& q) { return score_answer(answer, q.answers).exact_match; }

double contains(const std::string& answer, const Question& q) {
  const std::string normalized = normalize_answer(answer);
  return best(q, [&](const std::string& gold) {
    const std::string part = normalize_answer(gold);
    return gold.empty() ? normalized.empty() : normalized.find(part) != std::string::npos;
  });
}

double classification(const std::string& answer, const Question& q) {
  if (q.options.empty())
    throw Error({.what = "a question without options",
                 .where = q.id,
                 .expected = "the names of all classes",
                 .hint = "data.fields.options=all_classes for LongBench's files"});
  return best(q, [&](const std::string& gold) { return longbench_classification(answer, gold, q.options); });
}

// The share of gold answers that the answer has, in any case of letters.
double match_all(const std::string& answer, const Question& q) {
  const std::string text = to_lower(answer);
  double found = 0;
  for (const auto& gold : q.answers) found += text.find(to_lower(gold)) != std::string::npos ? 1 : 0;
  return found / static_cast<double>(q.answers.size());
}

template <double (*score)(const std::string&, const std::string&)>
double best_of(const std::string& answer, const Question& q) {
  return best(q, [&](const std::string& gold) { return score(answer, gold); });
}

const std::vector<std::pair<std::string, Score>>& scores() {
  static const std::vector<std::pair<std::string, Score>> all = {
      {"em", exact_match},
      {"f1", [](const std::string& a, const Question& q) { return score_answer(a, q.answers).f1; }},
      {"contains", contains},
      {"accuracy", exact_match},
      {"rouge_1",
       [](const std::string& a, const Question& q) {
         return best(q, [&](const std::string& gold) { return rouge(a, gold).rouge_1; });
       }},
      {"rouge_l",
       [](const std::string& a, const Question& q) {
         return best(q, [&](const std::string& gold) { return rouge(a, gold).rouge_l; });
       }},
      {"match_all", match_all},
      {"match_part", [](const std::string& a, const Question& q) { return match_all(a, q) > 0 ? 1.0 : 0.0; }},
      {"longbench_rouge", best_of<longbench_rouge>},
      {"classification", classification},
      {"retrieval", best_of<longbench_retrieval>},
      {"count", best_of<longbench_count>},
      {"code_sim", best_of<longbench_code_similarity>}};
  return all;
}

}  // namespace

const std::vector<std::string>& answer_metrics() {
  static const std::vector<std::string> names = [] {
    std::vector<std::string> out = {"bleu"};
    for (const auto& [name, score] : scores()) out.push_back(name);
    return out;
  }();
  return names;
}

Measure answer_measure(const std::string& metric, const std::vector<std::string>& answers,
                       const std::vector<const Question*>& questions) {
  check(answers.size() == questions.size(), "answer_measure: one answer for each question");
  if (metric == "bleu") {
    std::vector<std::vector<double>> items;
    for (size_t i = 0; i < answers.size(); ++i) items.push_back(bleu_counts(answers[i], questions[i]->answers));
    return measure_of_items("bleu_4", std::move(items));
  }
  const auto found =
      std::find_if(scores().begin(), scores().end(), [&](const auto& entry) { return entry.first == metric; });
  if (found == scores().end())
    throw Error({.what = "unknown metric", .expected = "one of " + join(answer_metrics(), ", "), .found = metric});
  std::vector<double> values;
  for (size_t i = 0; i < answers.size(); ++i) values.push_back(found->second(answers[i], *questions[i]));
  return mean_percent(metric + "_percent", values);
}

Measure measure_of_items(const std::string& name, std::vector<std::vector<double>> items) {
  Measure out{name, std::move(items), {}};
  if (name == "bleu_4") {
    out.value = [](const std::vector<double>& sums) { return bleu_score(sums); };
  } else if (name.ends_with("perplexity")) {
    out.value = [](const std::vector<double>& s) { return std::exp(-s[0] / s[1]); };
  } else if (name.ends_with("loss_nats")) {
    out.value = [](const std::vector<double>& s) { return -s[0] / s[1]; };
  } else if (name.ends_with("_percent")) {
    out.value = mean_percent(name, {}).value;
  } else {
    throw Error({.what = "unknown measure", .found = excerpt(name)});
  }
  return out;
}

}  // namespace precis

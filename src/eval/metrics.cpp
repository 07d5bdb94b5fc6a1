#include "precis/eval/metrics.h"

#include <algorithm>
#include <cctype>
#include <map>

#include "precis/core/strings.h"
#include "precis/text/unicode.h"
#include "words.h"

namespace precis {
namespace {

double token_f1(const std::string& prediction, const std::string& gold) {
  if (prediction.empty() || gold.empty()) return 0;
  const auto p = split(prediction, ' '), g = split(gold, ' ');
  std::map<std::string, int> left;
  for (const auto& word : g) ++left[word];
  int common = 0;
  for (const auto& word : p) {
    if (left[word]-- > 0) ++common;
  }
  if (common == 0) return 0;
  const double precision = common / static_cast<double>(p.size()), recall = common / static_cast<double>(g.size());
  return 2 * precision * recall / (precision + recall);
}

}  // namespace

std::string normalize_answer(const std::string& text) {
  static const Regex articles("(?<![\\p{L}\\p{N}_])(a|an|the)(?![\\p{L}\\p{N}_])");  // \b: a mark ends a word
  std::string kept = to_lower(text);
  std::erase_if(kept, [](char c) { return std::ispunct(static_cast<unsigned char>(c)) != 0; });  // ASCII only
  return join(words_of(articles.replace_all(kept, " ")), " ");
}

AnswerScore score_answer(const std::string& prediction, const std::vector<std::string>& golds) {
  AnswerScore best;
  const std::string answer = normalize_answer(prediction);
  for (const auto& text : golds) {
    const std::string gold = normalize_answer(text);
    const double same = answer == gold ? 1 : 0;
    best.exact_match = std::max(best.exact_match, same);
    best.f1 = std::max(best.f1, text.empty() ? same : token_f1(answer, gold));
  }
  return best;
}

std::string cut_answer(const std::string& text, const std::string& cut) {
  if (cut == "none") return trim(text);
  const std::string whole = cut == "line" ? trim(text) : text;
  std::string answer = trim(whole.substr(0, whole.find('\n')));
  if (cut == "sentence") answer = trim(answer.substr(0, answer.find('.')));
  return answer;
}

}  // namespace precis

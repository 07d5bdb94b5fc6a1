#include "precis/eval/text_metrics.h"

#include <algorithm>
#include <cmath>
#include <map>
#include <vector>

#include "precis/core/strings.h"
#include "precis/text/unicode.h"
#include "words.h"

namespace precis {
namespace {

using Words = std::vector<std::string>;

Words rouge_words(const std::string& text) {
  static const Regex other("[^a-z0-9]+");
  return words_of(other.replace_all(to_lower(text), " "));
}

double f1(double common, size_t predicted, size_t expected) {
  if (common == 0) return 0;
  const double precision = common / static_cast<double>(predicted), recall = common / static_cast<double>(expected);
  return 2 * precision * recall / (precision + recall);
}

int64_t longest_common_subsequence(const Words& a, const Words& b) {
  std::vector<int64_t> row(b.size() + 1, 0);
  for (const auto& word : a) {
    int64_t diagonal = 0;  // of the previous row
    for (size_t j = 0; j < b.size(); ++j) {
      const int64_t above = row[j + 1];
      row[j + 1] = word == b[j] ? diagonal + 1 : std::max(above, row[j]);
      diagonal = above;
    }
  }
  return row.back();
}

// How often each run of n words occurs.
std::map<Words, int64_t> runs_of(const Words& words, size_t n) {
  std::map<Words, int64_t> counts;
  for (size_t i = 0; i + n <= words.size(); ++i)
    ++counts[Words(words.begin() + static_cast<std::ptrdiff_t>(i), words.begin() + static_cast<std::ptrdiff_t>(i + n))];
  return counts;
}

// The runs of n words that both have; of several references, the one with the most of each counts.
int64_t common_runs(const Words& prediction, const std::vector<Words>& references, size_t n) {
  int64_t common = 0;
  std::map<Words, int64_t> expected;
  for (const auto& reference : references) {
    for (const auto& [run, count] : runs_of(reference, n)) expected[run] = std::max(expected[run], count);
  }
  for (const auto& [run, count] : runs_of(prediction, n)) {
    const auto found = expected.find(run);
    if (found != expected.end()) common += std::min(count, found->second);
  }
  return common;
}

// The length of the reference whose length is closest, the shorter of two.
size_t closest_length(size_t length, const std::vector<Words>& references) {
  const auto distance = [&](size_t other) { return other > length ? other - length : length - other; };
  size_t best = references.front().size();
  for (const auto& reference : references) {
    const size_t other = reference.size();
    if (distance(other) < distance(best) || (distance(other) == distance(best) && other < best)) best = other;
  }
  return best;
}

// WMT's tokenisation 13a: punctuation marks are separate words; full stops and commas only if not inside a number.
Words bleu_words(const std::string& text) {
  static const Regex punctuation("([\\x7B-\\x7E\\x5B-\\x60\\x20-\\x26\\x28-\\x2B\\x3A-\\x40\\x2F])"),
      after("([^0-9])([.,])"), before("([.,])([^0-9])"), dash("([0-9])(-)"), end("[\\p{White_Space}\\x{1c}-\\x{1f}]+$");
  std::string line =
      replace_all(replace_all(replace_all(end.replace_all(text, ""), "<skipped>", ""), "-\n", ""), "\n", " ");
  for (const auto& [entity, character] :
       {std::pair{"&quot;", "\""}, std::pair{"&amp;", "&"}, std::pair{"&lt;", "<"}, std::pair{"&gt;", ">"}})
    line = replace_all(line, entity, character);
  line = punctuation.replace_all(" " + line + " ", " $1 ");
  line = after.replace_all(line, "$1 $2 ");
  line = before.replace_all(line, " $1 $2");
  line = dash.replace_all(line, "$1 $2 ");
  return words_of(line);
}

}  // namespace

RougeScore rouge(const std::string& prediction, const std::string& reference) {
  const Words p = rouge_words(prediction), r = rouge_words(reference);
  return {f1(static_cast<double>(common_runs(p, {r}, 1)), p.size(), r.size()),
          f1(static_cast<double>(longest_common_subsequence(p, r)), p.size(), r.size())};
}

constexpr size_t bleu_orders = 4;

std::vector<double> bleu_counts(const std::string& prediction, const std::vector<std::string>& references) {
  const Words p = bleu_words(prediction);
  std::vector<Words> expected;
  for (const auto& reference : references) expected.push_back(bleu_words(reference));
  std::vector<double> counts(2 * bleu_orders + 2);
  for (size_t n = 1; n <= bleu_orders; ++n) {
    counts[n - 1] = static_cast<double>(common_runs(p, expected, n));
    counts[bleu_orders + n - 1] = static_cast<double>(p.size() >= n ? p.size() - n + 1 : 0);
  }
  counts[2 * bleu_orders] = static_cast<double>(p.size());
  counts[2 * bleu_orders + 1] = static_cast<double>(closest_length(p.size(), expected));
  return counts;
}

double bleu_score(const std::vector<double>& counts) {
  const double *common = counts.data(), *total = common + bleu_orders;
  if (std::all_of(common, total, [](double n) { return n == 0; })) return 0;
  double logs = 0, smoothing = 1;
  for (size_t n = 0; n < bleu_orders; ++n) {
    if (total[n] == 0) return 0;  // the predictions are shorter than n + 1 words
    const double precision = common[n] == 0 ? 1 / ((smoothing *= 2) * total[n]) : common[n] / total[n];
    logs += std::log(precision) / bleu_orders;
  }
  const double ratio = counts[2 * bleu_orders + 1] / counts[2 * bleu_orders];
  return 100 * std::min(1.0, std::exp(1 - ratio)) * std::exp(logs);
}

}  // namespace precis

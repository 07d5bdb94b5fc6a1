#include "precis/eval/longbench_metrics.h"

#include <algorithm>
#include <cmath>
#include <map>
#include <set>

#include "precis/core/strings.h"
#include "precis/text/unicode.h"
#include "precis/text/utf8.h"
#include "words.h"

namespace precis {
namespace {

using Words = std::vector<std::string>;

// Sentences end at any full stop; words are parted by white space. A sentence of white space has one empty word.
std::vector<Words> sentences_of(const std::string& text) {
  std::vector<Words> sentences;
  for (const auto& part : split(text, '.')) {
    if (part.empty()) continue;
    sentences.push_back(words_of(part));
    if (sentences.back().empty()) sentences.back() = {""};
  }
  return sentences;
}

std::set<std::string> distinct_words(const std::vector<Words>& sentences) {
  std::set<std::string> words;
  for (const auto& sentence : sentences) words.insert(sentence.begin(), sentence.end());
  return words;
}

// Adds the words of the longest common subsequence; among equals, the one whose words are latest in `reference`.
void add_common_subsequence(const Words& reference, const Words& prediction, std::set<std::string>& words) {
  const size_t n = reference.size(), m = prediction.size();
  std::vector<std::vector<int>> length(n + 1, std::vector<int>(m + 1, 0));
  for (size_t i = 1; i <= n; ++i) {
    for (size_t j = 1; j <= m; ++j) {
      length[i][j] = reference[i - 1] == prediction[j - 1] ? length[i - 1][j - 1] + 1
                                                           : std::max(length[i - 1][j], length[i][j - 1]);
    }
  }
  for (size_t i = n, j = m; i > 0 && j > 0;) {
    if (reference[i - 1] == prediction[j - 1]) {
      words.insert(reference[--i]);
      --j;
    } else if (length[i - 1][j] > length[i][j - 1]) {
      --i;
    } else {
      --j;
    }
  }
}

// The numbers in a text, as digits of any script: Python's \d+.
Words numbers_of(const std::string& text) {
  static const Regex others("\\P{Nd}+");
  return words_of(others.replace_all(text, " "));
}

double share_of_numbers(const std::string& prediction, const std::string& gold) {
  const Words numbers = numbers_of(prediction);
  if (numbers.empty()) return 0;
  return static_cast<double>(std::count(numbers.begin(), numbers.end(), gold)) / static_cast<double>(numbers.size());
}

using Characters = std::vector<std::string_view>;

Characters characters_of(std::string_view text) {
  Characters characters;
  while (!text.empty()) {
    const size_t length = std::max<size_t>(1, utf8_length(text));
    characters.push_back(text.substr(0, length));
    text.remove_prefix(length);
  }
  return characters;
}

// The number of characters in the matching blocks of a and b: the longest block (the earliest in a, then in b), then
// those on both sides of it. Characters that make up over 1 % of a b of 200 or more do not begin a block.
class MatchingBlocks {
 public:
  MatchingBlocks(const Characters& a, const Characters& b) : a_(a), b_(b) {
    for (size_t j = 0; j < b.size(); ++j) places_[b[j]].push_back(j);
    if (b.size() < 200) return;
    const size_t most = b.size() / 100 + 1;
    std::erase_if(places_, [&](const auto& entry) { return entry.second.size() > most; });
  }

  size_t characters() const { return characters(0, a_.size(), 0, b_.size()); }

 private:
  size_t characters(size_t a_begin, size_t a_end, size_t b_begin, size_t b_end) const {
    size_t best_a = a_begin, best_b = b_begin, best = 0;
    std::map<size_t, size_t> ending_at;  // length of the block that ends at (i, j), by j
    for (size_t i = a_begin; i < a_end; ++i) {
      std::map<size_t, size_t> now;
      if (const auto places = places_.find(a_[i]); places != places_.end()) {
        for (const size_t j : places->second) {
          if (j < b_begin || j >= b_end) continue;
          const auto before = j == 0 ? ending_at.end() : ending_at.find(j - 1);
          const size_t length = now[j] = 1 + (before == ending_at.end() ? 0 : before->second);
          if (length <= best) continue;
          best = length;
          best_a = i + 1 - length;
          best_b = j + 1 - length;
        }
      }
      ending_at = std::move(now);
    }
    for (; best_a > a_begin && best_b > b_begin && a_[best_a - 1] == b_[best_b - 1]; ++best) --best_a, --best_b;
    while (best_a + best < a_end && best_b + best < b_end && a_[best_a + best] == b_[best_b + best]) ++best;
    if (best == 0) return 0;
    return best + characters(a_begin, best_a, b_begin, best_b) + characters(best_a + best, a_end, best_b + best, b_end);
  }

  const Characters &a_, &b_;
  std::map<std::string_view, std::vector<size_t>> places_;  // in b
};

}  // namespace

double longbench_rouge(const std::string& prediction, const std::string& reference) {
  const auto p = sentences_of(prediction), r = sentences_of(reference);
  if (p.empty() || r.empty()) return 0;
  std::set<std::string> common;
  for (const auto& expected : r) {
    for (const auto& sentence : p) add_common_subsequence(expected, sentence, common);
  }
  const auto n = static_cast<double>(common.size());
  const double precision = n / static_cast<double>(distinct_words(p).size()),
               recall = n / static_cast<double>(distinct_words(r).size());
  return 2 * precision * recall / (precision + recall + 1e-8);
}

double longbench_classification(const std::string& prediction, const std::string& gold, const Words& classes) {
  Words found;
  for (const auto& name : classes) {
    if (prediction.find(name) != std::string::npos) found.push_back(name);
  }
  // As in the public code, the name after a removed one is not looked at.
  for (size_t i = 0; i < found.size(); ++i) {
    if (found[i] != gold && gold.find(found[i]) != std::string::npos)
      found.erase(std::find(found.begin(), found.end(), found[i]));
  }
  const bool right = std::find(found.begin(), found.end(), gold) != found.end();
  return right ? 1 / static_cast<double>(found.size()) : 0;
}

double longbench_count(const std::string& prediction, const std::string& gold) {
  return share_of_numbers(prediction, gold);
}

double longbench_retrieval(const std::string& prediction, const std::string& gold) {
  constexpr std::string_view before = "Paragraph ";
  for (size_t at = 0; (at = gold.find(before, at)) != std::string::npos; ++at) {
    const std::string rest = gold.substr(at + before.size());
    const Words numbers = numbers_of(rest);
    if (!numbers.empty() && rest.starts_with(numbers.front())) return share_of_numbers(prediction, numbers.front());
  }
  return 0;
}

double longbench_code_similarity(const std::string& prediction, const std::string& gold) {
  std::string line;
  for (const auto& candidate :
       split(prediction.substr(std::min(prediction.find_first_not_of('\n'), prediction.size())), '\n')) {
    if (candidate.find_first_of("`#") != std::string::npos || candidate.find("//") != std::string::npos) continue;
    line = candidate;
    break;
  }
  if (line == gold) return 1;
  if (line.empty() || gold.empty()) return 0;
  const Characters a = characters_of(line), b = characters_of(gold);
  const auto common = static_cast<double>(MatchingBlocks(a, b).characters());
  return std::nearbyint(100 * (2 * common / static_cast<double>(a.size() + b.size()))) / 100;
}

}  // namespace precis

// SQuAD's exact match and F1 (Rajpurkar et al., arXiv 1606.05250; methods.md section 8).
#pragma once

#include <string>
#include <vector>

namespace precis {

// Lower case, no ASCII punctuation, no articles, single spaces.
std::string normalize_answer(const std::string& text);

struct AnswerScore {
  double exact_match = 0, f1 = 0;  // 0 to 1
};
// The best over the gold answers.
AnswerScore score_answer(const std::string& prediction, const std::vector<std::string>& golds);

// A generated answer, cut at the first newline ("newline"), or also at the first full stop ("sentence").
std::string cut_answer(const std::string& text, const std::string& cut);

}  // namespace precis

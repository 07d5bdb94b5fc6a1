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
// The best over the gold answers. An empty gold answer, of an unanswerable question, is matched by an empty prediction
// only (SQuAD 2, arXiv 1806.03822).
AnswerScore score_answer(const std::string& prediction, const std::vector<std::string>& golds);

// A generated answer, cut at the first newline ("newline"), also at the first full stop ("sentence"), at the end of its
// first line with text ("line"), or nowhere ("none").
std::string cut_answer(const std::string& text, const std::string& cut);

}  // namespace precis

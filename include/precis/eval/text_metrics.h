// Similarity of a text to a reference: ROUGE (Lin 2004) as the rouge-score package computes it, BLEU-4 (Papineni et al.
// 2002) as sacrebleu does with its default tokenizer (13a) and smoothing (exp). (methods.md section 8.)
#pragma once

#include <string>
#include <vector>

namespace precis {

// F1 of single words and of the longest common subsequence, 0 to 1. Words are runs of a-z and 0-9 in the lower-cased
// text.
struct RougeScore {
  double rouge_1 = 0, rouge_l = 0;
};
RougeScore rouge(const std::string& prediction, const std::string& reference);

// Counts for corpus BLEU: common n-grams and n-grams of the prediction for n = 1 … 4, then the words of the prediction
// and of the reference with the closest length.
std::vector<double> bleu_counts(const std::string& prediction, const std::vector<std::string>& references);

// Corpus BLEU from summed counts, in percent.
double bleu_score(const std::vector<double>& counts);

}  // namespace precis

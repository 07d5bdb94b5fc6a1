// How near a text is to a reference: ROUGE (Lin 2004) as the rouge-score package computes it, BLEU-4 (Papineni et al.
// 2002) as sacrebleu does with its default tokenizer (13a) and smoothing (exp). (methods.md section 8.)
#pragma once

#include <array>
#include <string>

namespace precis {

// F1 of single words and of the longest common subsequence, 0 to 1. Words are runs of a-z and 0-9 after lower-casing.
struct RougeScore {
  double rouge_1 = 0, rouge_l = 0;
};
RougeScore rouge(const std::string& prediction, const std::string& reference);

// Corpus BLEU over the pairs added so far, in percent.
class Bleu {
 public:
  void add(const std::string& prediction, const std::string& reference);
  double score() const;

 private:
  static constexpr size_t orders = 4;
  std::array<int64_t, orders> common_{}, total_{};  // n-grams by length
  int64_t prediction_words_ = 0, reference_words_ = 0;
};

}  // namespace precis

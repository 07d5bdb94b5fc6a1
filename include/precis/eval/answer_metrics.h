// Metrics of free-text answers by name, as `eval.metrics` and `precis score --metric` give them:
//   em, f1           SQuAD's exact match and F1 (arXiv 1606.05250), also MRQA's; unanswerable questions as in SQuAD 2
//   contains         a gold answer is part of the normalised answer
//   accuracy         exact match with the right option, or any other gold answer
//   rouge_1, rouge_l F1 of words and of the longest common subsequence, as the rouge-score package computes them
//   bleu             corpus BLEU as sacrebleu computes it, over all gold answers
//   match_all, match_part  RULER's string match: the share of gold answers that occur, or whether any does
//   longbench_rouge, classification, retrieval, count, code_sim  LongBench's (arXiv 2308.14508); its qa_f1 is f1
// An answer's score is the best over its gold answers.
#pragma once

#include "precis/data/qa.h"
#include "precis/eval/measure.h"

namespace precis {

const std::vector<std::string>& answer_metrics();  // the names

// The metric over answers to the questions, in their order. Its name has the unit: "f1_percent"; BLEU is "bleu_4".
// Throws Error for an unknown metric, and for classification without options.
Measure answer_measure(const std::string& metric, const std::vector<std::string>& answers,
                       const std::vector<const Question*>& questions);

// A measure of that name from its items, as reports store them. Throws Error for an unknown name.
Measure measure_of_items(const std::string& name, std::vector<std::vector<double>> items);

}  // namespace precis

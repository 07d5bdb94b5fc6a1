// LongBench's metrics (Bai et al., arXiv 2308.14508, and its public evaluation code), 0 to 1.
#pragma once

#include <string>
#include <vector>

namespace precis {

// Summaries: F1 of the distinct words in the union of longest common subsequences over pairs of sentences, as the rouge
// package computes ROUGE-L.
double longbench_rouge(const std::string& prediction, const std::string& reference);

// 1 / the number of class names in the prediction, if the right one is among them. A name that is part of the right one
// does not count.
double longbench_classification(const std::string& prediction, const std::string& gold,
                                const std::vector<std::string>& classes);

// The share of the prediction's numbers that equal the gold number; `retrieval`: that of "Paragraph 7".
double longbench_count(const std::string& prediction, const std::string& gold);
double longbench_retrieval(const std::string& prediction, const std::string& gold);

// Similarity of the prediction's first line that is neither a comment nor a code fence: fuzzywuzzy's ratio of Unicode
// characters on Python's difflib (Ratcliff and Obershelp's matching blocks).
double longbench_code_similarity(const std::string& prediction, const std::string& gold);

}  // namespace precis

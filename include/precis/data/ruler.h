// Generated contexts of a given length, after RULER (Hsieh et al., arXiv 2404.06654) and the needle in a haystack:
//   niah  needles "One of the special magic numbers for KEY is: VALUE." in noise or in sentences of a text; one is
//   asked vt    variable tracking: a chain of assignments in noise; the variables with a value are asked cwe   common
//   words: a numbered list of words, of which ten are more frequent fwe   frequent words: coded words with Zipf's
//   frequencies (exponent 2), of which the three most frequent are asked qa    documents, one of which answers the
//   question; generated ones, or passages of a data set
// Prompts are RULER's. Its few-shot examples are left out, keys and words are invented, and a length is that of the
// context alone.
#pragma once

#include <cstdint>
#include <functional>
#include <ostream>

#include "precis/data/qa.h"

namespace precis {

struct RulerOptions {
  std::string kind = "niah";
  std::vector<int64_t> lengths = {4096};              // of contexts, in tokens or words
  std::vector<double> depths = {0, 25, 50, 75, 100};  // niah and qa: place of the answer in the context, in percent
  int64_t count = 10;                                 // contexts for each length and depth
  int64_t needles = 1, values = 1;                    // niah: keys, and values of each key
  int64_t hops = 4;                                   // vt: assignments behind the first
  uint64_t seed = 1;
  std::vector<std::string> haystack;  // niah: text files, as for precis prepare; empty: noise
  std::string data;                   // qa: a data set of question answering; empty: generated passages
};

const std::vector<std::string>& ruler_kinds();

// The length of a text; a tokenizer's ids, or words.
using MeasureText = std::function<int64_t(const std::string& text)>;
int64_t count_words(const std::string& text);

// The set in MRQA format, with "length" in each record and "depth" (0 to 1) in each question of niah and qa. Contexts
// are as long as their parts allow, at most their length. A pure function of the options and of `measure`. Throws Error
// if a length is too short for its kind, or the data have too few passages.
void write_ruler(std::ostream& out, const RulerOptions& options, const MeasureText& measure);

}  // namespace precis

// Evaluation data: question-answering files, or contexts of a prepared corpus.
#pragma once

#include "precis/config/config.h"
#include "precis/data/qa.h"
#include "precis/text/tokenizer.h"

namespace precis {

// The passages of files in a format of read_qa. From a folder made by `precis prepare`: `windows` evenly spaced
// contexts of data.max_context_tokens + data.continuation_tokens tokens, each with one empty question.
std::vector<Passage> read_evaluation_set(const std::vector<std::string>& paths, const Tokenizer& tokenizer,
                                         const DataConfig& data, int64_t windows, int64_t max_context_tokens = 0);

// A context of at most `tokens` tokens: of a longer one, its first and last `tokens` / 2, as in LongBench's public
// code.
std::string without_middle(const std::string& context, const Tokenizer& tokenizer, int64_t tokens);

}  // namespace precis

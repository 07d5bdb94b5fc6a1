// Evaluation data: question-answering files, or contexts of a prepared corpus.
#pragma once

#include "precis/config/config.h"
#include "precis/data/qa.h"
#include "precis/text/tokenizer.h"

namespace precis {

// The passages of files in a format of read_qa. From a folder made by `precis prepare`: `windows` evenly spaced
// contexts of data.max_context_tokens + data.continuation_tokens tokens, each with one empty question.
std::vector<Passage> read_evaluation_set(const std::vector<std::string>& paths, const Tokenizer& tokenizer,
                                         const DataConfig& data, int64_t windows);

}  // namespace precis

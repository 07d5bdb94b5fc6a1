// How passages and questions become the text that is compressed and the text that is asked.
#pragma once

#include <string>

#include "precis/config/config.h"
#include "precis/text/tokenizer.h"

namespace precis {

// Fills "{context}", "{question}", "{answer}" in a template.
std::string fill_template(const std::string& text, const std::string& context, const std::string& question,
                          const std::string& answer);

// Ids of the text that is compressed: the context in its template, behind BOS where the compressor wants it there.
TokenIds context_ids(const Tokenizer& tokenizer, const DataConfig& data, const std::string& context, bool with_bos);

}  // namespace precis

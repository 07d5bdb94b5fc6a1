// Templates for the compressed text and for the query.
#pragma once

#include <string>

#include "precis/config/config.h"
#include "precis/text/tokenizer.h"

namespace precis {

// Fills "{context}", "{question}", "{answer}" in a template.
std::string fill_template(const std::string& text, const std::string& context, const std::string& question,
                          const std::string& answer);

// Ids of the text to compress: the context in its template, after BOS if `with_bos`.
TokenIds context_ids(const Tokenizer& tokenizer, const DataConfig& data, const std::string& context, bool with_bos);

}  // namespace precis

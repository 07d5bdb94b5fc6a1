// Templates for the compressed text and for the query.
#pragma once

#include <string>
#include <string_view>

#include "precis/config/config.h"
#include "precis/text/tokenizer.h"

namespace precis {

struct TemplateFields {
  std::string context, question, answer;
};

// Ids of a template with "{context}", "{question}" and "{answer}" filled in. Names of special tokens are parsed in the
// template, never in the texts that are filled in.
TokenIds encode_template(const Tokenizer& tokenizer, const std::string& form, const TemplateFields& fields);

// Ids of the text to compress: the context in its template, after BOS if `with_bos`.
TokenIds context_ids(const Tokenizer& tokenizer, const DataConfig& data, const std::string& context, bool with_bos);

// The file of configs/templates for a model with this chat template (Jinja, from its tokenizer's configuration); "" if
// there is none.
std::string chat_template_file(std::string_view jinja);

}  // namespace precis

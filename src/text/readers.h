// The readers of tokenizer files, by format. Errors name the file.
#pragma once

#include "precis/text/tokenizer.h"

namespace precis {

std::unique_ptr<Tokenizer> load_gguf_tokenizer(const std::filesystem::path& path);
std::unique_ptr<Tokenizer> load_tiktoken(std::string_view file, const std::string& where);

// Sorts end_ids and adds EOS and the tokens that end an answer by their name: `<|eot_id|>`, `<|im_end|>`, ...
void complete_end_ids(Tokenizer& tokenizer);

}  // namespace precis

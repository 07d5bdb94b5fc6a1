// The readers of tokenizer files, by format. Errors name the file.
#pragma once

#include <functional>

#include "precis/text/tokenizer.h"

namespace precis {

std::unique_ptr<Tokenizer> load_gguf_tokenizer(const std::filesystem::path& path);

// Tokens that end an answer by their name, whatever else the files say: `<|eot_id|>`, `<|im_end|>`, ...
void add_named_ends(Tokenizer& tokenizer, const std::function<int64_t(const std::string&)>& id_of);

}  // namespace precis

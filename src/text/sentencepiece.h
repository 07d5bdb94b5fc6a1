#pragma once

#include "precis/text/tokenizer.h"

namespace precis {

// A tokenizer over the bytes of a SentencePiece `.model` file.
std::unique_ptr<Tokenizer> make_sentencepiece(std::string_view model, const std::string& where);

}  // namespace precis

// A vocabulary of one's own, by SentencePiece's trainer.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace precis {

// The bytes of a `tokenizer.model`: byte-pair encoding with byte fallback, text left as it is (no normalisation, no
// space put in front), `<s>` and `</s>`. A pure function of its arguments.
std::string train_sentencepiece(const std::vector<std::string>& texts, int64_t vocabulary_size);

}  // namespace precis

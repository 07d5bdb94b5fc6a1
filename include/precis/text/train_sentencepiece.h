// A vocabulary of one's own, by SentencePiece's trainer.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

namespace precis {

// The bytes of a `tokenizer.model`: byte-pair encoding with byte fallback, text left as it is (no normalisation, no
// space put in front), `<s>` and `</s>`. A pure function of its arguments.
std::string train_sentencepiece(const std::vector<std::string>& texts, int64_t vocabulary_size);

// Writes such a model into an existing folder as Hugging Face lays it out: tokenizer.model, tokenizer_config.json with
// `<s>` in front of a text.
void write_sentencepiece_folder(const std::filesystem::path& folder, const std::string& model);

}  // namespace precis

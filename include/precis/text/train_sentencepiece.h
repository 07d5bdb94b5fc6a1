// Trains a SentencePiece vocabulary.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

namespace precis {

// The bytes of a `tokenizer.model`: byte-pair encoding with byte fallback, no normalisation, no space prepended, `<s>`
// and `</s>`. A pure function of the arguments.
std::string train_sentencepiece(const std::vector<std::string>& texts, int64_t vocabulary_size);

// Writes such a model to an existing folder in Hugging Face's layout: tokenizer.model, tokenizer_config.json with `<s>`
// before a text.
void write_sentencepiece_folder(const std::filesystem::path& folder, const std::string& model);

}  // namespace precis

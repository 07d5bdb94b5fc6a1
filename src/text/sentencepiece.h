// SentencePiece: models as their own files, and models rebuilt from what other formats keep of them.
#pragma once

#include "precis/text/tokenizer.h"

namespace precis {

// What determines a SentencePiece model's ids, by the names of sentencepiece_model.proto.
struct SentencePieceDefinition {
  enum Type { normal = 1, unknown = 2, control = 3, user_defined = 4, unused = 5, byte = 6 };
  struct Piece {
    std::string text;
    float score = 0;
    int64_t type = normal;
  };
  std::vector<Piece> pieces;
  bool unigram = false;  // false: byte-pair encoding
  bool add_dummy_prefix = false, remove_extra_whitespaces = false, escape_whitespaces = false;
  std::string precompiled_charsmap;  // normalisation rules; "": none
};

// The bytes of a `.model` file. Throws Error, with `where` as the file, on pieces that no such model has.
std::string sentencepiece_model(const SentencePieceDefinition& definition, const std::string& where);

// A tokenizer over the bytes of a SentencePiece `.model` file, and tokens that a fine-tune added to it.
struct AddedToken;
std::unique_ptr<Tokenizer> make_sentencepiece(std::string_view model, const std::vector<AddedToken>& added,
                                              const std::string& where);

}  // namespace precis

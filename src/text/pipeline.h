// A tokenizer of parts: added tokens, normaliser, pre-tokenizer, model, decoder (Hugging Face's tokenizers). All
// formats but SentencePiece's own become one.
#pragma once

#include "added_tokens.h"
#include "decoder_chain.h"
#include "normalizer.h"
#include "pretokenizer.h"
#include "token_model.h"

namespace precis {

struct Pipeline {
  std::vector<AddedToken> added;
  Normalizer normalizer;
  PreTokenizer pre_tokenizer;
  std::unique_ptr<TokenModel> model;
  DecoderChain decoder;
  std::string kind;                                         // for display
  std::vector<std::pair<std::string, std::string>> merges;  // for the hash
};

std::unique_ptr<Tokenizer> make_tokenizer(Pipeline pipeline, const std::string& where);

// One whose text is bytes in GPT-2's printable form; `pipeline` has added tokens, normaliser and pre-tokenizer.
std::unique_ptr<Tokenizer> make_byte_level(Pipeline pipeline, BpeDefinition definition, const std::string& where);

}  // namespace precis

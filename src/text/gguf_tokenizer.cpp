// The tokenizer inside a GGUF file's metadata, `tokenizer.ggml.*`. What an absent key means is llama.cpp's choice
// (src/llama-vocab.cpp).
#include "pipeline.h"
#include "precis/core/error.h"
#include "precis/core/gguf.h"
#include "precis/core/strings.h"
#include "readers.h"
#include "sentencepiece.h"

namespace precis {
namespace {

const std::string prefix = "tokenizer.ggml.";
enum TokenType : int64_t { undefined, normal, unknown, control, user_defined, unused, byte };

int64_t id_or(const GgufFile& file, const char* key, int64_t fallback) {
  const int64_t tokens = static_cast<int64_t>(file.texts(prefix + "tokens").size());
  const int64_t id = file.has(prefix + key) ? file.integer(prefix + key) : fallback;
  if (id >= tokens) {
    throw Error({.what = cat(prefix, key, " is no token"),
                 .where = file.path(),
                 .expected = cat("0 to ", tokens - 1),
                 .found = cat(id)});
  }
  return id;
}

std::vector<int64_t> token_types(const GgufFile& file, size_t tokens) {
  const auto types = file.integers(prefix + "token_type");
  if (types.size() != tokens) {
    throw Error({.what = "token_type and tokens differ in length",
                 .where = file.path(),
                 .expected = cat(tokens),
                 .found = cat(types.size())});
  }
  return types;
}

std::vector<float> token_scores(const GgufFile& file, size_t tokens) {
  const std::string key = prefix + "scores";
  const auto found = file.metadata().find(key);
  const auto* items = found == file.metadata().end() ? nullptr : std::get_if<GgufArray>(&found->second.value);
  std::vector<float> scores;
  if (items != nullptr) {
    for (const auto& item : *items) {
      if (const auto* score = std::get_if<double>(&item.value)) scores.push_back(static_cast<float>(*score));
    }
  }
  if (scores.size() != tokens) {
    throw Error({.what = "a SentencePiece vocabulary without a score for each token",
                 .where = file.path(),
                 .expected = cat(key, " with ", tokens, " numbers"),
                 .found = items == nullptr ? "none" : cat(scores.size()),
                 .hint = "convert the model again, or set tokenizer.path to its tokenizer.model"});
  }
  return scores;
}

// `llama`: byte-pair encoding by score; `t5`: unigram.
std::unique_ptr<Tokenizer> sentencepiece_of(const GgufFile& file, bool unigram) {
  SentencePieceDefinition definition;
  definition.unigram = unigram;
  const auto tokens = file.texts(prefix + "tokens");
  const auto types = token_types(file, tokens.size());
  const auto scores = token_scores(file, tokens.size());
  for (size_t id = 0; id < tokens.size(); ++id) {
    SentencePieceDefinition::Piece piece{tokens[id], scores[id], types[id] == undefined ? normal : types[id]};
    // Converters write the spaces of user-defined pieces as such.
    if (piece.type == user_defined) piece.text = replace_all(piece.text, " ", "\xE2\x96\x81");
    if (piece.text.empty()) piece = {cat("[EMPTY_", id, "]"), 0, unused};
    definition.pieces.push_back(std::move(piece));
  }
  definition.escape_whitespaces = true;
  definition.add_dummy_prefix = file.boolean(prefix + "add_space_prefix", !unigram);
  definition.remove_extra_whitespaces = file.boolean(prefix + "remove_extra_whitespaces", false);
  if (file.has(prefix + "precompiled_charsmap")) {
    for (const int64_t byte_value : file.integers(prefix + "precompiled_charsmap"))
      definition.precompiled_charsmap += static_cast<char>(byte_value);
  }
  auto tokenizer = make_sentencepiece(sentencepiece_model(definition, file.path()), {}, file.path());
  tokenizer->bos_id = id_or(file, "bos_token_id", unigram ? -1 : 1);
  tokenizer->eos_id = id_or(file, "eos_token_id", unigram ? 1 : 2);
  tokenizer->adds_bos = file.boolean(prefix + "add_bos_token", !unigram);
  return tokenizer;
}

std::unique_ptr<Tokenizer> byte_level_of(const GgufFile& file) {
  if (!file.has(prefix + "pre")) {
    throw Error({.what = "the file does not name its pre-tokenizer",
                 .where = file.path(),
                 .expected = prefix + "pre",
                 .hint = "an old conversion: convert the model again, or set tokenizer.path to its tokenizer.json"});
  }
  NamedPreTokenizer named = named_pretokenizer(file.text(prefix + "pre"), file.path());
  Pipeline pipeline;
  pipeline.pre_tokenizer = std::move(named.pre_tokenizer);
  if (named.nfc) pipeline.normalizer.add_form(Normalizer::Form::nfc);
  BpeDefinition definition;
  definition.tokens = file.texts(prefix + "tokens");
  std::vector<int64_t> types(definition.tokens.size(), normal);
  if (file.has(prefix + "token_type")) types = token_types(file, types.size());
  for (size_t id = 0; id < types.size(); ++id) {
    if (types[id] != control && types[id] != user_defined) continue;
    pipeline.added.push_back(
        {.content = definition.tokens[id], .id = static_cast<int64_t>(id), .special = types[id] == control});
  }
  definition.merges = parse_merges(file.texts(prefix + "merges"), file.path());
  definition.whole_piece_first = named.whole_piece_first;
  auto tokenizer = make_byte_level(std::move(pipeline), std::move(definition), file.path());
  tokenizer->bos_id = id_or(file, "bos_token_id", -1);
  tokenizer->eos_id = id_or(file, "eos_token_id", -1);
  tokenizer->adds_bos = file.boolean(prefix + "add_bos_token", named.adds_bos);
  return tokenizer;
}

std::unique_ptr<Tokenizer> tokenizer_of(const GgufFile& file) {
  const std::string& model = file.text(prefix + "model");
  if (model == "llama" || model == "t5") return sentencepiece_of(file, model == "t5");
  if (model == "gpt2") return byte_level_of(file);
  throw Error({.what = "unsupported tokenizer inside a GGUF file",
               .where = file.path(),
               .expected = "gpt2 (byte-level BPE), llama or t5 (SentencePiece)",
               .found = model,
               .hint = "set tokenizer.path to the original tokenizer file"});
}

}  // namespace

std::unique_ptr<Tokenizer> load_gguf_tokenizer(const std::filesystem::path& path) {
  const GgufFile file(path);
  auto tokenizer = tokenizer_of(file);
  tokenizer->pad_id = id_or(file, "padding_token_id", -1);
  if (tokenizer->adds_bos && tokenizer->bos_id < 0) {
    throw Error({.what = "the tokenizer adds BOS, but the file does not say which token that is",
                 .where = file.path(),
                 .expected = prefix + "bos_token_id"});
  }
  auto& ends = tokenizer->end_ids;
  ends.clear();
  for (const char* key : {"eos_token_id", "eot_token_id", "eom_token_id"}) {  // of a text, a turn, a message
    if (const int64_t id = id_or(file, key, -1); id >= 0) ends.push_back(id);
  }
  complete_end_ids(*tokenizer);
  return tokenizer;
}

}  // namespace precis

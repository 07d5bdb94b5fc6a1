// Text to token ids and back. One interface over SentencePiece models and the parts of tokenizer.json, in their file
// formats. Ids equal those of the model's original tokenizer, or loading fails with the reason (docs/tokenizers.md).
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "precis/text/utf8.h"

namespace precis {

using TokenIds = std::vector<int64_t>;

// Part of a text. Names of special tokens are parsed only where `special`.
struct TextPart {
  std::string text;
  bool special = false;
};

struct AddedToken;
class AddedTokens;

class Tokenizer {
 public:
  Tokenizer();
  virtual ~Tokenizer();

  // Ids of `text`, without BOS or EOS. Special tokens' names in the text are plain text unless `parse_special`.
  // Throws Error if `text` is not valid UTF-8.
  TokenIds encode(std::string_view text, bool parse_special = false) const;

  // Ids of the joined parts. Plain text is encoded across their borders, so that only special tokens separate words.
  TokenIds encode(const std::vector<TextPart>& parts) const;

  // The text of `ids`: bytes joined, invalid UTF-8 shown as U+FFFD. Throws Error on an id out of range.
  std::string decode(const TokenIds& ids, bool skip_special = false) const;

  virtual std::string token_bytes(int64_t id) const = 0;  // the token's bytes; its name if it is special
  virtual std::string first_token_bytes(int64_t id) const { return token_bytes(id); }  // at the start of a text
  virtual int64_t vocabulary_size() const = 0;
  virtual std::string kind() const = 0;  // for display: "byte-level BPE", "SentencePiece"

  int64_t token_id(const std::string& token) const;  // of an added token or a word of the vocabulary; -1: none
  bool is_special(int64_t id) const { return special_by_id_.count(id) > 0; }
  const std::map<std::string, int64_t>& special_tokens() const { return special_by_name_; }
  const std::string& hash() const { return hash_; }

  int64_t bos_id = -1, eos_id = -1, pad_id = -1;  // -1: none
  bool adds_bos = false;                          // the model expects BOS before a text
  std::vector<int64_t> end_ids;                   // generation stops at any of these (including eos_id)

 protected:
  // Applied to what lies between added tokens. Sets `start_removed` if the first character of `text` is gone.
  virtual std::string normalize(std::string_view text, bool* start_removed) const;
  // Ids of normalised text without added tokens. `at_start`: nothing precedes it.
  virtual void encode_plain(std::string_view text, bool at_start, TokenIds& out) const = 0;
  virtual std::string text_of(const TokenIds& ids) const;  // ids are within range
  virtual int64_t vocabulary_id(const std::string& token) const = 0;

  void set_added_tokens(const std::vector<AddedToken>& tokens, const std::string& where);
  void set_hash(std::string hash) { hash_ = std::move(hash); }

 private:
  std::map<std::string, int64_t> added_by_name_, special_by_name_;
  std::map<int64_t, std::string> special_by_id_;
  std::unique_ptr<AddedTokens> added_, added_normalized_;  // searched in the text, and in the normalised text
  std::string hash_;
};

// Loads a SentencePiece or tiktoken `.model`, a `tokenizer.json`, a folder with one of them or with `vocab.json` +
// `merges.txt`, or a GGUF file's metadata. Throws Error with the name of any unsupported part.
std::unique_ptr<Tokenizer> load_tokenizer(const std::filesystem::path& path);

// Decodes ids one at a time; never returns part of a character.
class StreamDecoder {
 public:
  explicit StreamDecoder(const Tokenizer& tokenizer) : tokenizer_(tokenizer) {}
  std::string push(int64_t id);
  std::string finish() { return stream_.finish(); }

 private:
  const Tokenizer& tokenizer_;
  Utf8Stream stream_;
  bool at_start_ = true;
};

}  // namespace precis

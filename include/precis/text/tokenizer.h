// Text to token ids and back. One interface over SentencePiece models and byte-level BPE in its four file formats. Ids
// equal those of the model's original tokenizer, or loading fails with the reason.
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

class Tokenizer {
 public:
  virtual ~Tokenizer() = default;

  // Ids of `text`, without BOS or EOS. Special tokens' names in the text are plain text unless `parse_special`.
  // Throws Error if `text` is not valid UTF-8.
  TokenIds encode(std::string_view text, bool parse_special = false) const;

  // Ids of the joined parts. Plain text is encoded across their borders, so that only special tokens separate words.
  TokenIds encode(const std::vector<TextPart>& parts) const;

  // The text of `ids`: bytes joined, invalid UTF-8 shown as U+FFFD. Throws Error on an id out of range.
  std::string decode(const TokenIds& ids, bool skip_special = false) const;

  virtual std::string token_bytes(int64_t id) const = 0;  // the token's bytes; its name if it is special
  virtual int64_t vocabulary_size() const = 0;
  virtual std::string kind() const = 0;                        // for display: "byte-level BPE", "SentencePiece"
  virtual bool strips_leading_space() const { return false; }  // decode drops the space that encode prepends

  bool is_special(int64_t id) const { return special_by_id_.count(id) > 0; }
  const std::map<std::string, int64_t>& special_tokens() const { return special_by_name_; }
  const std::string& hash() const { return hash_; }

  int64_t bos_id = -1, eos_id = -1, pad_id = -1;  // -1: none
  bool adds_bos = false;                          // the model expects BOS before a text
  std::vector<int64_t> end_ids;                   // generation stops at any of these (including eos_id)

 protected:
  virtual void encode_plain(std::string_view text, TokenIds& out) const = 0;
  // `always`: matched in every text, even without parse_special (an added token that is not special).
  void add_special(const std::string& name, int64_t id, bool always = false);
  void set_hash(std::string hash) { hash_ = std::move(hash); }

 private:
  std::map<std::string, int64_t> special_by_name_;
  std::map<int64_t, std::string> special_by_id_;
  std::map<std::string, int64_t> always_by_name_;
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

// Byte-level byte-pair encoding: the merges of Sennrich et al. (2016) over bytes, as GPT-2 introduced it.
#pragma once

#include <unordered_map>

#include "precis/core/json.h"
#include "precis/text/pretokenizer.h"
#include "precis/text/tokenizer.h"

namespace precis {

constexpr int64_t most_token_ids = 1 << 21;  // vocabularies are tables: one id must not make them fill the memory

// The definition of a byte-level BPE, independent of the file format.
struct BpeDefinition {
  struct Special {
    std::string name;
    int64_t id;
    bool special = true;  // false: an added token that is matched in every text
  };
  std::vector<std::string> tokens;                          // bytes of token i; "" if i is unused
  std::vector<std::pair<std::string, std::string>> merges;  // bytes of both halves, best first
  bool merge_by_rank_of_result = false;                     // tiktoken: no merge list, the lowest id first
  bool whole_piece_first = false;                           // a piece that is a token is not split
  std::vector<Special> specials;
  PreTokenizer pre_tokenizer;
};

class BpeTokenizer : public Tokenizer {
 public:
  BpeTokenizer(BpeDefinition definition, const std::string& where);

  std::string token_bytes(int64_t id) const override;
  int64_t vocabulary_size() const override { return static_cast<int64_t>(tokens_.size()); }
  std::string kind() const override { return "byte-level BPE"; }

 protected:
  void encode_plain(std::string_view text, TokenIds& out) const override;

 private:
  struct Merge {
    int64_t rank, result;
  };
  static uint64_t pair_key(int64_t left, int64_t right) {
    return static_cast<uint64_t>(left) << 32 | static_cast<uint64_t>(right);
  }
  void add_merges(const BpeDefinition& definition, const std::string& where);
  void encode_piece(std::string_view piece, TokenIds& out) const;

  std::vector<std::string> tokens_;
  std::unordered_map<std::string, int64_t> id_by_bytes_;
  std::unordered_map<uint64_t, Merge> merges_;
  int64_t byte_ids_[256];  // -1: the byte has no token and is dropped
  bool whole_piece_first_;
  PreTokenizer pre_tokenizer_;
};

// Decodes GPT-2's printable byte encoding: "Ġthe" to " the". Throws Error on a character that encodes no byte.
std::string bytes_of_printable(std::string_view text, const std::string& where);
bool is_printable_byte_text(std::string_view text);

BpeDefinition bpe_from_tokenizer_json(const LargeJson& json, const std::string& where);
// The lines of merges.txt or of a merge list: "left right" in printable form.
std::vector<std::pair<std::string, std::string>> parse_merges(const std::vector<std::string>& lines,
                                                              const std::string& where);

}  // namespace precis

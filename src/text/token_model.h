// From a piece of text to token ids. A model knows its vocabulary as strings, as tokenizer.json has it; byte-level
// vocabularies are in GPT-2's printable characters.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "precis/text/tokenizer.h"

namespace precis {

constexpr int64_t most_token_ids = 1 << 21;  // vocabularies are tables: one id must not make them fill the memory

class TokenModel {
 public:
  virtual ~TokenModel() = default;
  virtual void encode(std::string_view piece, TokenIds& out) const = 0;
  virtual const std::vector<std::string>& tokens() const = 0;  // by id; "": no token
  virtual int64_t id_of(std::string_view token) const = 0;     // -1: none
  virtual std::string settings() const = 0;                    // beside the vocabulary, for the tokenizer's hash
};

// Byte-pair encoding (Sennrich et al., 2016) over characters.
struct BpeDefinition {
  std::vector<std::string> tokens;                          // by id; "" if unused
  std::vector<std::pair<std::string, std::string>> merges;  // best first; of one listed twice the last place counts
  bool merge_by_rank_of_result = false;                     // tiktoken: no merge list, the lowest id first
  bool whole_piece_first = false;                           // a piece that is a token is not split
  bool byte_fallback = false;                               // a character that is no token becomes <0xE2><0x82>...
  std::string unknown;                                      // otherwise this token; "": the character is dropped
  bool fuse_unknown = false;                                // one unknown token for neighbouring characters
};
std::unique_ptr<TokenModel> make_bpe(BpeDefinition definition, const std::string& where);

// Unigram (Kudo, 2018), run by libsentencepiece. `special`: ids that no text becomes.
struct UnigramDefinition {
  std::vector<std::pair<std::string, double>> pieces;  // with log probabilities
  int64_t unknown_id = -1;
  bool byte_fallback = false;
  std::vector<int64_t> special;
};
std::unique_ptr<TokenModel> make_unigram(const UnigramDefinition& definition, const std::string& where);

// The lines of merges.txt or of a merge list: "left right".
std::vector<std::pair<std::string, std::string>> parse_merges(const std::vector<std::string>& lines,
                                                              const std::string& where);

}  // namespace precis

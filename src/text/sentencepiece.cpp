#include "sentencepiece.h"

#include <sentencepiece_processor.h>

#include <algorithm>
#include <cstring>
#include <functional>

#include "added_tokens.h"
#include "precis/core/error.h"
#include "precis/core/hash.h"
#include "precis/core/strings.h"
#include "token_model.h"

namespace precis {
namespace {

// Calls `use` with number and content of every length-delimited field of a protobuf message, until it ends or is
// malformed, which SentencePiece itself reports.
void for_each_field(std::string_view message, const std::function<void(uint64_t, std::string_view)>& use) {
  const auto number = [&message] {
    uint64_t value = 0;
    for (int shift = 0; !message.empty() && shift < 64; shift += 7) {
      const auto byte = static_cast<unsigned char>(message[0]);
      message.remove_prefix(1);
      value |= uint64_t{byte & 127U} << shift;
      if (byte < 128) break;
    }
    return value;
  };
  while (!message.empty()) {
    const uint64_t tag = number(), kind = tag & 7;
    if (kind == 0) number();
    if (kind == 0 || kind == 3 || kind == 4) continue;  // a group's fields are taken as its parent's
    const uint64_t bytes = kind == 2 ? number() : kind == 1 ? 8 : kind == 5 ? 4 : UINT64_MAX;
    if (bytes > message.size()) return;
    if (kind == 2) use(tag >> 3, message.substr(0, bytes));
    message.remove_prefix(bytes);
  }
}

// SentencePiece walks the normalisation rules (a Darts double array, then the texts it points to) without any check.
// Every step from every unit must stay inside, whatever the byte.
void check_normalisation(std::string_view rules, const std::string& where) {
  uint32_t trie_bytes = 0;
  if (rules.size() >= 4) std::memcpy(&trie_bytes, rules.data(), 4);
  bool fits = trie_bytes > 0 && trie_bytes % 1024 == 0 && trie_bytes < rules.size() - 4 && rules.back() == '\0';
  const size_t units = trie_bytes / 4, texts = fits ? rules.size() - 4 - trie_bytes : 0;
  const auto unit = [&](size_t i) {
    uint32_t value = 0;
    std::memcpy(&value, rules.data() + 4 + 4 * i, 4);
    return value;
  };
  const auto is_leaf = [&](size_t i) { return i > 0 && unit(i) >> 31 == 1; };
  for (size_t i = 0; i < units && fits; ++i) {
    const size_t next = i ^ (static_cast<size_t>(unit(i) >> 10) << ((unit(i) & 512U) >> 6));
    fits = is_leaf(i) ? (unit(i) & 0x7fffffffU) < texts
                      : (next | 255U) < units && ((unit(i) & 256U) == 0 || is_leaf(next));
  }
  if (!fits) throw Error({.what = "the model's normalisation rules are corrupt", .where = where});
}

class SentencePieceTokenizer : public Tokenizer {
 public:
  SentencePieceTokenizer(std::string_view model, const std::vector<AddedToken>& added, const std::string& where) {
    for_each_field(model, [&](uint64_t field, std::string_view part) {
      constexpr uint64_t normalizer = 3, denormalizer = 5, rules = 2;
      if (field != normalizer && field != denormalizer) return;
      for_each_field(part, [&](uint64_t inner, std::string_view bytes) {
        if (inner == rules && !bytes.empty()) check_normalisation(bytes, where);
      });
    });
    std::string problem;
    try {
      const auto status = processor_.LoadFromSerializedProto({model.data(), model.size()});
      if (!status.ok()) problem = status.ToString();
    } catch (const std::exception& e) {  // of its trie: an empty piece, or two of one text
      problem = e.what();
    }
    if (!problem.empty()) throw Error({.what = "not a SentencePiece model", .where = where, .found = excerpt(problem)});
    std::vector<AddedToken> tokens = added;
    for (int id = 0; id < processor_.GetPieceSize(); ++id) {
      if (processor_.IsControl(id)) tokens.push_back({.content = processor_.IdToPiece(id), .id = id});
    }
    Hasher hasher;
    hasher.update(model);
    size_ = processor_.GetPieceSize();
    for (const auto& token : added) {
      if (token.id < 0 || token.id > most_token_ids)
        throw Error({.what = "the id of an added token is out of range", .where = where, .found = cat(token.id)});
      const bool known =
          token.id < processor_.GetPieceSize() && processor_.IdToPiece(static_cast<int>(token.id)) == token.content;
      if (known && !token.lstrip && !token.rstrip && !token.single_word) continue;
      if (!known) added_names_[token.id] = token.content;
      size_ = std::max(size_, token.id + 1);
      hasher.update(
          cat("\n", token.id, " ", token.content, token.special, token.lstrip, token.rstrip, token.single_word));
    }
    set_added_tokens(tokens, where);
    set_hash(hasher.hex());
    bos_id = processor_.bos_id();
    eos_id = processor_.eos_id();
    pad_id = processor_.pad_id();
    adds_bos = bos_id >= 0;
    if (eos_id >= 0) end_ids = {eos_id};
    TokenIds probe;
    encode_plain("a", true, probe);
    for (const int64_t id : probe) adds_space_ |= token_bytes(id).starts_with(' ');
    TokenIds spaces;
    encode_plain("   ", true, spaces);
    removes_spaces_ = spaces.empty();
  }

  std::string token_bytes(int64_t id) const override {
    if (const auto name = added_names_.find(id); name != added_names_.end()) return name->second;
    if (id >= processor_.GetPieceSize()) return "";  // an id that no token has
    const int piece_id = static_cast<int>(id);
    const std::string& piece = processor_.IdToPiece(piece_id);
    if (processor_.IsByte(piece_id))
      return std::string(1, static_cast<char>(std::stoi(piece.substr(3, 2), nullptr, 16)));
    if (processor_.IsUnknown(piece_id)) return " \xE2\x81\x87 ";  // SentencePiece's own surface for unknown text
    return replace_all(piece, "\xE2\x96\x81", " ");
  }
  std::string first_token_bytes(int64_t id) const override {  // without the space that encode prepends
    const std::string bytes = token_bytes(id);
    const bool unknown = id < processor_.GetPieceSize() && processor_.IsUnknown(static_cast<int>(id));
    return adds_space_ && !unknown && bytes.starts_with(' ') ? bytes.substr(1) : bytes;
  }
  int64_t vocabulary_size() const override { return size_; }
  std::string kind() const override { return "SentencePiece"; }

 protected:
  void encode_plain(std::string_view text, bool, TokenIds& out) const override {
    std::vector<int> ids;
    const auto status = processor_.Encode({text.data(), text.size()}, &ids);
    if (!status.ok()) throw Error({.what = "SentencePiece cannot encode the text", .found = status.ToString()});
    out.insert(out.end(), ids.begin(), ids.end());
  }
  // A model that removes white space at the start shows none: the first tokens that are nothing else are dropped.
  std::string text_of(const TokenIds& ids) const override {
    std::string bytes;
    bool at_start = true;
    for (const int64_t id : ids) {
      const std::string more = at_start ? first_token_bytes(id) : token_bytes(id);
      at_start = at_start && removes_spaces_ && more.empty();
      bytes += more;
    }
    return to_valid_utf8(bytes);
  }
  int64_t vocabulary_id(const std::string& token) const override {
    const int id = processor_.PieceToId(token);
    return processor_.IdToPiece(id) == token ? id : -1;
  }

 private:
  std::map<int64_t, std::string> added_names_;  // of ids that are no piece's, or another's
  int64_t size_ = 0;
  sentencepiece::SentencePieceProcessor processor_;
  bool adds_space_ = false, removes_spaces_ = false;
};

}  // namespace

std::unique_ptr<Tokenizer> make_sentencepiece(std::string_view model, const std::vector<AddedToken>& added,
                                              const std::string& where) {
  return std::make_unique<SentencePieceTokenizer>(model, added, where);
}

}  // namespace precis

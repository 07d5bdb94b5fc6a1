#include "sentencepiece.h"

#include <sentencepiece_processor.h>

#include <cstring>
#include <functional>

#include "precis/core/error.h"
#include "precis/core/hash.h"
#include "precis/core/strings.h"

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
  SentencePieceTokenizer(std::string_view model, const std::string& where) {
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
    for (int id = 0; id < processor_.GetPieceSize(); ++id) {
      if (processor_.IsControl(id)) add_special(processor_.IdToPiece(id), id);
    }
    bos_id = processor_.bos_id();
    eos_id = processor_.eos_id();
    pad_id = processor_.pad_id();
    adds_bos = bos_id >= 0;
    if (eos_id >= 0) end_ids = {eos_id};
    TokenIds probe;
    encode_plain("a", probe);
    for (const int64_t id : probe) adds_space_ |= token_bytes(id).starts_with(' ');
    set_hash(hash_hex(model));
  }

  std::string token_bytes(int64_t id) const override {
    const int piece_id = static_cast<int>(id);
    const std::string& piece = processor_.IdToPiece(piece_id);
    if (processor_.IsByte(piece_id))
      return std::string(1, static_cast<char>(std::stoi(piece.substr(3, 2), nullptr, 16)));
    if (processor_.IsUnknown(piece_id)) return " \xE2\x81\x87 ";  // SentencePiece's own surface for unknown text
    return replace_all(piece, "\xE2\x96\x81", " ");
  }
  int64_t vocabulary_size() const override { return processor_.GetPieceSize(); }
  std::string kind() const override { return "SentencePiece"; }
  bool strips_leading_space() const override { return adds_space_; }

 protected:
  void encode_plain(std::string_view text, TokenIds& out) const override {
    std::vector<int> ids;
    const auto status = processor_.Encode({text.data(), text.size()}, &ids);
    if (!status.ok()) throw Error({.what = "SentencePiece cannot encode the text", .found = status.ToString()});
    out.insert(out.end(), ids.begin(), ids.end());
  }

 private:
  sentencepiece::SentencePieceProcessor processor_;
  bool adds_space_ = false;
};

}  // namespace

std::unique_ptr<Tokenizer> make_sentencepiece(std::string_view model, const std::string& where) {
  return std::make_unique<SentencePieceTokenizer>(model, where);
}

}  // namespace precis

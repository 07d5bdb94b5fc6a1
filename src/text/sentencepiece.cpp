#include "sentencepiece.h"

#include <sentencepiece_processor.h>

#include "precis/core/error.h"
#include "precis/core/hash.h"
#include "precis/core/strings.h"

namespace precis {
namespace {

class SentencePieceTokenizer : public Tokenizer {
 public:
  SentencePieceTokenizer(std::string_view model, const std::string& where) {
    const auto status = processor_.LoadFromSerializedProto({model.data(), model.size()});
    if (!status.ok())
      throw Error({.what = "not a SentencePiece model", .where = where, .found = excerpt(status.ToString())});
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

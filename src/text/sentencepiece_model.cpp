// Writes a ModelProto (google/sentencepiece, src/sentencepiece_model.proto). Only libsentencepiece reads it.
#include <cstring>

#include "precis/core/error.h"
#include "precis/core/strings.h"
#include "sentencepiece.h"

namespace precis {
namespace {

// A protobuf message; each function appends a field.
class Message {
 public:
  void number(uint64_t field, uint64_t value) {
    varint(field << 3);
    varint(value);
  }
  void real(uint64_t field, float value) {
    varint(field << 3 | 5);
    uint32_t bits = 0;
    std::memcpy(&bits, &value, 4);
    for (int shift = 0; shift < 32; shift += 8) bytes_ += static_cast<char>(bits >> shift & 255);
  }
  void text(uint64_t field, std::string_view value) {
    varint(field << 3 | 2);
    varint(value.size());
    bytes_ += value;
  }
  const std::string& bytes() const { return bytes_; }

 private:
  void varint(uint64_t value) {
    for (; value > 127; value >>= 7) bytes_ += static_cast<char>((value & 127) | 128);
    bytes_ += static_cast<char>(value);
  }
  std::string bytes_;
};

}  // namespace

std::string sentencepiece_model(const SentencePieceDefinition& definition, const std::string& where) {
  using Definition = SentencePieceDefinition;
  Message model;
  int64_t unknown = 0, bytes = 0;
  for (const auto& piece : definition.pieces) {
    unknown += piece.type == Definition::unknown;
    bytes += piece.type == Definition::byte;
    Message part;
    part.text(1, piece.text);
    part.real(2, piece.score);
    part.number(3, static_cast<uint64_t>(piece.type));
    model.text(1, part.bytes());
  }
  if (unknown != 1) {
    throw Error({.what = "the number of unknown tokens is wrong",
                 .where = where,
                 .expected = "one token of type 2, usually <unk>",
                 .found = cat(unknown),
                 .hint = "set tokenizer.path to the original tokenizer.model"});
  }
  if (bytes != 0 && bytes != 256) {
    throw Error({.what = "byte tokens are missing",
                 .where = where,
                 .expected = "256 tokens of type 6, <0x00> to <0xFF>, or none",
                 .found = cat(bytes),
                 .hint = "set tokenizer.path to the original tokenizer.model"});
  }
  Message trainer, normalizer;
  trainer.number(3, definition.unigram ? 1 : 2);
  trainer.number(35, bytes > 0);
  normalizer.text(1, "identity");
  if (!definition.precompiled_charsmap.empty()) normalizer.text(2, definition.precompiled_charsmap);
  normalizer.number(3, definition.add_dummy_prefix);
  normalizer.number(4, definition.remove_extra_whitespaces);
  normalizer.number(5, definition.escape_whitespaces);
  model.text(2, trainer.bytes());
  model.text(3, normalizer.bytes());
  return model.bytes();
}

}  // namespace precis

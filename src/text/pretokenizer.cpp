#include "pretokenizer.h"

#include <algorithm>
#include <array>

#include "precis/core/strings.h"
#include "precis/text/utf8.h"

namespace precis {
namespace {

// GPT-2's bytes_to_unicode: printable Latin-1 maps to itself, the other bytes to U+0100 onwards.
struct PrintableBytes {
  std::array<int, 512> byte_of{};             // by code point; -1: none
  std::array<std::string, 256> character_of;  // by byte, as UTF-8

  PrintableBytes() {
    byte_of.fill(-1);
    unsigned next = 256;
    for (unsigned b = 0; b < 256; ++b) {
      const bool itself = (b >= 33 && b <= 126) || (b >= 161 && b <= 172) || (b >= 174 && b <= 255);
      const unsigned code_point = itself ? b : next++;
      byte_of[code_point] = static_cast<int>(b);
      if (code_point < 128) {
        character_of[b] = static_cast<char>(code_point);
      } else {
        character_of[b] = {static_cast<char>(0xC0U | code_point >> 6U), static_cast<char>(0x80U | (code_point & 63U))};
      }
    }
  }
};

const PrintableBytes& printable_table() {
  static const PrintableBytes table;
  return table;
}

}  // namespace

std::string printable_bytes(std::string_view bytes) {
  std::string out;
  for (const char c : bytes) out += printable_table().character_of[static_cast<unsigned char>(c)];
  return out;
}

bool bytes_of(std::string_view printable, std::string& bytes) {
  while (!printable.empty()) {
    const size_t length = utf8_length(printable);
    if (length == 0 || length > 2) return false;
    const auto byte = [&](size_t i) { return static_cast<unsigned>(static_cast<unsigned char>(printable[i])); };
    const unsigned code_point = length == 1 ? byte(0) : (byte(0) & 31U) << 6U | (byte(1) & 63U);
    if (code_point >= 512 || printable_table().byte_of[code_point] < 0) return false;
    bytes += static_cast<char>(printable_table().byte_of[code_point]);
    printable.remove_prefix(length);
  }
  return true;
}

void PreTokenizer::add_split(TextPattern pattern, SplitBehavior behavior, bool invert) {
  steps_.push_back({.kind = Kind::split, .pattern = {std::move(pattern)}, .behavior = behavior, .invert = invert});
}

void PreTokenizer::add_metaspace(const std::string& replacement, Prepend prepend) {
  steps_.push_back({.kind = Kind::metaspace, .replacement = replacement, .prepend = prepend});
}

void PreTokenizer::add_space_prefix() { steps_.push_back({.kind = Kind::space_prefix}); }

void PreTokenizer::add_byte_level() {
  steps_.push_back({.kind = Kind::byte_level});
  byte_level_ = true;
}

void PreTokenizer::split(const Piece& piece, const Step& step, std::vector<Piece>& out) {
  struct Range {
    int32_t begin, end;
    bool match;
  };
  std::vector<Range> ranges;
  int32_t done = 0;
  step.pattern.front().for_each_match(piece.text, [&](int32_t begin, int32_t end) {
    if (begin > done) ranges.push_back({done, begin, step.invert});
    ranges.push_back({begin, end, !step.invert});
    done = end;
  });
  if (done < piece.text.length()) ranges.push_back({done, piece.text.length(), step.invert});

  std::vector<Range> joined;
  const bool backwards = step.behavior == SplitBehavior::merged_with_next;
  if (backwards) std::reverse(ranges.begin(), ranges.end());
  bool previous_match = false;
  for (const Range& range : ranges) {
    const bool merges = step.behavior == SplitBehavior::contiguous ? range.match == previous_match
                        : step.behavior == SplitBehavior::merged_with_previous || backwards
                            ? range.match && !previous_match
                            : false;
    previous_match = range.match;
    if (step.behavior == SplitBehavior::removed && range.match) continue;
    if (!merges || joined.empty()) {
      joined.push_back(range);
    } else if (backwards) {
      joined.back().begin = range.begin;
    } else {
      joined.back().end = range.end;
    }
  }
  if (backwards) std::reverse(joined.begin(), joined.end());
  for (const Range& range : joined) {
    if (range.end > range.begin)
      out.push_back(
          {icu::UnicodeString(piece.text, range.begin, range.end - range.begin), piece.at_start && range.begin == 0});
  }
}

void PreTokenizer::change(Piece& piece, const Step& step) {
  if (step.kind == Kind::byte_level) {
    piece.text = from_utf8(printable_bytes(to_utf8(piece.text)));
  } else if (step.kind == Kind::space_prefix) {
    if (!piece.text.startsWith(" ")) piece.text.insert(0, " ");
  } else {
    const icu::UnicodeString replacement = from_utf8(step.replacement);
    piece.text.findAndReplace(" ", replacement);
    const bool prepend = step.prepend == Prepend::always || (step.prepend == Prepend::first && piece.at_start);
    if (prepend && !piece.text.startsWith(replacement)) piece.text.insert(0, replacement);
  }
}

void PreTokenizer::run(std::string_view text, bool at_start, const std::function<void(std::string_view)>& piece) const {
  if (text.empty()) return;
  std::vector<Piece> pieces = {{from_utf8(text), at_start}};
  const bool byte_level_last = !steps_.empty() && steps_.back().kind == Kind::byte_level;
  for (size_t i = 0; i + (byte_level_last ? 1 : 0) < steps_.size(); ++i) {
    if (steps_[i].kind != Kind::split) {
      for (Piece& item : pieces) change(item, steps_[i]);
      continue;
    }
    std::vector<Piece> next;
    for (const Piece& item : pieces) split(item, steps_[i], next);
    pieces = std::move(next);
  }
  for (const Piece& item : pieces) {
    const std::string bytes = to_utf8(item.text);
    piece(byte_level_last ? printable_bytes(bytes) : bytes);
  }
}

std::string PreTokenizer::description() const {
  std::string out;
  for (const Step& step : steps_) {
    if (step.kind == Kind::split) {
      out += "\nsplit " + step.pattern.front().source();
      if (step.behavior != SplitBehavior::isolated || step.invert)
        out += cat("\nbehavior ", static_cast<int>(step.behavior), " ", step.invert);
    } else if (step.kind == Kind::metaspace) {
      out += cat("\nmetaspace ", step.replacement, " ", static_cast<int>(step.prepend));
    } else if (step.kind == Kind::space_prefix) {
      out += "\nspace prefix";
    } else if (&step != &steps_.back()) {  // usually the last
      out += "\nbytes";
    }
  }
  return out;
}

}  // namespace precis

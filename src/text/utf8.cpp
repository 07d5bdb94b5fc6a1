#include "precis/text/utf8.h"

#include "precis/core/error.h"
#include "precis/core/strings.h"

namespace precis {
namespace {

struct Scan {
  size_t length = 0;   // bytes of a whole character, 0 if none
  size_t maximal = 1;  // bytes of the longest valid beginning, at least 1
  bool truncated = false;
};

Scan scan(std::string_view s) {
  const auto byte = [&](size_t i) { return static_cast<unsigned char>(s[i]); };
  if (s.empty()) return {};
  const unsigned lead = byte(0);
  if (lead < 0x80) return {1, 1, false};
  if (lead < 0xC2 || lead > 0xF4) return {};
  const size_t need = lead < 0xE0 ? 2 : lead < 0xF0 ? 3 : 4;
  unsigned low = 0x80, high = 0xBF;  // allowed range of the second byte
  if (lead == 0xE0) low = 0xA0;
  if (lead == 0xED) high = 0x9F;
  if (lead == 0xF0) low = 0x90;
  if (lead == 0xF4) high = 0x8F;
  for (size_t i = 1; i < need; ++i, low = 0x80, high = 0xBF) {
    if (i == s.size()) return {0, i, true};
    if (byte(i) < low || byte(i) > high) return {0, i, false};
  }
  return {need, need, false};
}

constexpr const char* replacement = "\xEF\xBF\xBD";

}  // namespace

size_t utf8_length(std::string_view bytes, bool* truncated) {
  const Scan s = scan(bytes);
  if (truncated != nullptr) *truncated = s.truncated;
  return s.length;
}

size_t first_invalid_utf8(std::string_view bytes) {
  for (size_t i = 0; i < bytes.size();) {
    const size_t length = utf8_length(bytes.substr(i));
    if (length == 0) return i;
    i += length;
  }
  return std::string_view::npos;
}

void require_utf8(std::string_view bytes, const std::string& where) {
  const size_t at = first_invalid_utf8(bytes);
  if (at != std::string_view::npos) throw Error({.what = "not valid UTF-8", .where = cat(where, ", byte ", at)});
}

std::string to_valid_utf8(std::string_view bytes) {
  std::string out;
  while (!bytes.empty()) {
    const Scan s = scan(bytes);
    out += s.length > 0 ? bytes.substr(0, s.length) : std::string_view(replacement);
    bytes.remove_prefix(s.maximal);
  }
  return out;
}

std::string Utf8Stream::push(std::string_view bytes) {
  pending_ += bytes;
  size_t ready = 0;
  while (ready < pending_.size()) {
    const Scan s = scan(std::string_view(pending_).substr(ready));
    if (s.truncated) break;
    ready += s.maximal;
  }
  const std::string out = to_valid_utf8(std::string_view(pending_).substr(0, ready));
  pending_.erase(0, ready);
  return out;
}

std::string Utf8Stream::finish() {
  const std::string out = to_valid_utf8(pending_);
  pending_.clear();
  return out;
}

}  // namespace precis

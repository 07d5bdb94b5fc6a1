// UTF-8: validation, replacement of invalid bytes, and buffering of incomplete characters in a stream.
#pragma once

#include <string>
#include <string_view>

namespace precis {

// Length in bytes of the well-formed character at the start of `bytes`; 0 if there is none. Sets `truncated` if the
// bytes are the valid beginning of a character. (Unicode 15, table 3-7.)
size_t utf8_length(std::string_view bytes, bool* truncated = nullptr);

// Offset of the first byte that is not valid UTF-8, or npos.
size_t first_invalid_utf8(std::string_view bytes);

// Throws Error with the place of the first byte that is not valid UTF-8. `where`: the file.
void require_utf8(std::string_view bytes, const std::string& where);

// Replaces each maximal invalid part by U+FFFD (Unicode 15, section 3.9).
std::string to_valid_utf8(std::string_view bytes);

// Bytes in, whole characters out.
class Utf8Stream {
 public:
  std::string push(std::string_view bytes);  // the complete characters so far
  std::string finish();                      // the rest, with U+FFFD for an incomplete character

 private:
  std::string pending_;
};

}  // namespace precis

// UTF-8: checking, replacing what is invalid, and holding back half a character while text streams.
#pragma once

#include <string>
#include <string_view>

namespace precis {

// Length in bytes of the well-formed character at the start of `bytes`; 0 if there is none. Where the bytes are a
// correct beginning that simply ends too early, `truncated` is set. (Unicode 15, table 3-7.)
size_t utf8_length(std::string_view bytes, bool* truncated = nullptr);

// Offset of the first byte that is not valid UTF-8, or npos.
size_t first_invalid_utf8(std::string_view bytes);

// U+FFFD for each maximal part that is no UTF-8, everything else unchanged (Unicode 15, section 3.9).
std::string to_valid_utf8(std::string_view bytes);

// Bytes in, whole characters out.
class Utf8Stream {
 public:
  std::string push(std::string_view bytes);  // what can be shown now
  std::string finish();                      // the rest, repaired

 private:
  std::string pending_;
};

}  // namespace precis

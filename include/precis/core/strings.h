// Small string helpers for all modules: concatenation, splitting, the nearest known word.
#pragma once

#include <sstream>
#include <string>
#include <string_view>
#include <vector>

namespace precis {

// Streams the arguments into one string.
template <class... Parts>
std::string cat(const Parts&... parts) {
  std::ostringstream out;
  (out << ... << parts);
  return out.str();
}

std::string join(const std::vector<std::string>& parts, std::string_view separator);
std::vector<std::string> split(std::string_view text, char separator);
std::string trim(std::string_view text);   // without ASCII white space at both ends
std::string lower_case(std::string text);  // of ASCII letters
bool ends_with_any(std::string_view text, const std::vector<std::string_view>& endings);

// `text` with every `from` replaced by `to`; inserted text is not searched again.
std::string replace_all(std::string_view text, std::string_view from, std::string_view to);

// The candidate with the smallest edit distance, or "" if none is close enough to be a likely typo.
std::string nearest_word(std::string_view word, const std::vector<std::string>& candidates);

// `value` with `digits` after the decimal point.
std::string fixed(double value, int digits);

// The text shortened for an error message: one line, at most `limit` bytes, cut at a character boundary.
std::string excerpt(std::string_view text, size_t limit = 80);

}  // namespace precis

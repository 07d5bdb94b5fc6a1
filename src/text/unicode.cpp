#include "precis/text/unicode.h"

#include <unicode/locid.h>

#include "pattern.h"
#include "precis/core/error.h"

namespace precis {
struct Regex::Pattern {
  std::unique_ptr<icu::RegexPattern> compiled;
};

std::string to_lower(std::string_view text) { return to_utf8(from_utf8(text).toLower(icu::Locale::getRoot())); }

Regex::Regex(const std::string& pattern) : pattern_(std::make_unique<Pattern>()) {
  UErrorCode status = U_ZERO_ERROR;
  UParseError parse_error{};
  pattern_->compiled.reset(icu::RegexPattern::compile(from_utf8(pattern), parse_error, status));
  check(U_SUCCESS(status), "invalid regular expression in the library: " + pattern);
}

Regex::~Regex() = default;

std::string Regex::replace_all(std::string_view text, const std::string& replacement) const {
  UErrorCode status = U_ZERO_ERROR;
  const icu::UnicodeString input = from_utf8(text);
  const std::unique_ptr<icu::RegexMatcher> matcher(pattern_->compiled->matcher(input, status));
  const icu::UnicodeString out = matcher->replaceAll(from_utf8(replacement), status);
  check(U_SUCCESS(status), "ICU cannot replace");
  return to_utf8(out);
}

}  // namespace precis

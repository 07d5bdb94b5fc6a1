#include "pattern.h"

#include "precis/core/error.h"
#include "precis/core/strings.h"

namespace precis {

icu::UnicodeString from_utf8(std::string_view text) {
  return icu::UnicodeString::fromUTF8(icu::StringPiece(text.data(), static_cast<int32_t>(text.size())));
}

std::string to_utf8(const icu::UnicodeString& text) {
  std::string out;
  text.toUTF8String(out);
  return out;
}

TextPattern::TextPattern(std::string source, const std::string& icu, const std::string& where)
    : source_(std::move(source)) {
  UErrorCode status = U_ZERO_ERROR;
  UParseError parse_error{};
  compiled_.reset(icu::RegexPattern::compile(from_utf8(icu), parse_error, status));
  if (U_FAILURE(status)) {
    throw Error({.what = "a regular expression of the tokenizer cannot be compiled",
                 .where = where,
                 .found = excerpt(source_, 200)});
  }
}

TextPattern TextPattern::regex(const std::string& oniguruma, const std::string& where) {
  return {oniguruma, icu_pattern(oniguruma, where), where};
}

TextPattern TextPattern::literal(const std::string& text, const std::string& where) {
  if (text.empty()) throw Error({.what = "an empty pattern in the tokenizer", .where = where});
  std::string escaped;
  for (const char c : text) {
    if (std::string_view("\\^$.|?*+()[]{}-#&~").find(c) != std::string_view::npos) escaped += '\\';
    escaped += c;
  }
  return {escaped, escaped, where};
}

void TextPattern::for_each_match(const icu::UnicodeString& text,
                                 const std::function<void(int32_t, int32_t)>& match) const {
  UErrorCode status = U_ZERO_ERROR;
  const std::unique_ptr<icu::RegexMatcher> matcher(compiled_->matcher(text, status));
  check(U_SUCCESS(status), "ICU cannot match");
  // In units of 10,000 steps; some patterns would take exponential time.
  matcher->setTimeLimit(10 + text.length() / 10, status);
  int32_t last_end = -1;
  while (matcher->find(status) && U_SUCCESS(status)) {
    const int32_t begin = matcher->start(status), end = matcher->end(status);
    if (begin == end && begin == last_end) continue;
    match(begin, end);
    last_end = end;
  }
  if (U_FAILURE(status)) {
    throw Error({.what = "ICU gave up matching the tokenizer's pattern",
                 .where = excerpt(source_),
                 .found = u_errorName(status)});
  }
}

std::string TextPattern::replace_all(std::string_view text, const std::string& content) const {
  const icu::UnicodeString whole = from_utf8(text), inserted = from_utf8(content);
  icu::UnicodeString out;
  int32_t done = 0;
  for_each_match(whole, [&](int32_t begin, int32_t end) {
    out.append(whole, done, begin - done).append(inserted);
    done = end;
  });
  return to_utf8(out.append(whole, done, whole.length() - done));
}

}  // namespace precis

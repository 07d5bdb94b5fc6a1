// Regular expressions of tokenizer files. They are written for Oniguruma, with Ruby's syntax, and run in ICU.
#pragma once

#include <unicode/regex.h>
#include <unicode/unistr.h>

#include <functional>
#include <memory>
#include <string>
#include <string_view>

namespace precis {

// The same expression in ICU's syntax. Throws Error, with `where` as the file, on constructs that ICU lacks or that
// mean something else there.
std::string icu_pattern(std::string_view oniguruma, const std::string& where);

icu::UnicodeString from_utf8(std::string_view text);
std::string to_utf8(const icu::UnicodeString& text);

class TextPattern {
 public:
  static TextPattern regex(const std::string& oniguruma, const std::string& where);
  static TextPattern literal(const std::string& text, const std::string& where);

  // Calls `match` with begin and end of each match, in UTF-16 units. An empty match directly behind another is none.
  void for_each_match(const icu::UnicodeString& text, const std::function<void(int32_t, int32_t)>& match) const;
  std::string replace_all(std::string_view text, const std::string& content) const;  // `content` is taken literally

  const std::string& source() const { return source_; }

 private:
  TextPattern(std::string source, const std::string& icu, const std::string& where);
  std::string source_;  // as the file has it
  std::shared_ptr<icu::RegexPattern> compiled_;
};

}  // namespace precis

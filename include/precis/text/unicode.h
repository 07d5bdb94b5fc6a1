// Unicode text operations through ICU: lower case and regular expressions.
#pragma once

#include <memory>
#include <string>
#include <string_view>

namespace precis {

std::string to_lower(std::string_view text);  // full case mapping, without language-specific rules

class Regex {
 public:
  explicit Regex(const std::string& pattern);  // ICU syntax; a pattern that does not compile is our own bug
  ~Regex();
  std::string replace_all(std::string_view text, const std::string& replacement) const;

 private:
  struct Pattern;
  std::unique_ptr<Pattern> pattern_;
};

}  // namespace precis

// Unicode text operations by ICU: lower case and regular expressions.
#pragma once

#include <memory>
#include <string>
#include <string_view>

namespace precis {

std::string to_lower(std::string_view text);  // full case mapping, no language's special rules

class Regex {
 public:
  explicit Regex(const std::string& pattern);  // ICU syntax; a pattern that does not compile is our own mistake
  ~Regex();
  std::string replace_all(std::string_view text, const std::string& replacement) const;

 private:
  struct Pattern;
  std::unique_ptr<Pattern> pattern_;
};

}  // namespace precis

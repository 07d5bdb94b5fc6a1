#include "words.h"

#include "precis/core/strings.h"
#include "precis/text/unicode.h"

namespace precis {

std::vector<std::string> words_of(const std::string& text) {
  static const Regex spaces("[\\p{White_Space}\\x{1c}-\\x{1f}]+");
  std::vector<std::string> words = split(spaces.replace_all(text, " "), ' ');
  std::erase(words, "");
  return words;
}

}  // namespace precis

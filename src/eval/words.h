// Words as Python's str.split() gives them: the public evaluation codes are in Python.
#pragma once

#include <string>
#include <vector>

namespace precis {

// Parted by Unicode white space and U+001C to U+001F; no empty words.
std::vector<std::string> words_of(const std::string& text);

}  // namespace precis

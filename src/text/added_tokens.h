// Added tokens: cut out of a text before anything else reads it, as Hugging Face's tokenizers do. The earliest match
// counts, and of those the longest.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

namespace precis {

struct AddedToken {
  std::string content;
  int64_t id = -1;
  bool special = true;       // parsed only where special tokens are
  bool normalized = false;   // searched in the normalised text, after the others
  bool lstrip = false;       // takes the white space on its left
  bool rstrip = false;       // ... on its right
  bool single_word = false;  // not inside a word
};

// Whether special tokens are parsed, for consecutive parts of a text: the end of each part in bytes, and the answer.
struct SpecialParts {
  struct Part {
    size_t end;
    bool special;
  };
  std::vector<Part> parts;
};

class AddedTokens {
 public:
  AddedTokens() : children_(1) {}
  void add(const AddedToken& token);  // of two with the same content the first counts
  bool empty() const { return tokens_.empty(); }

  // Calls `text` with begin and end of the text between the tokens and `token` with ids, in order. Each byte is read at
  // most once per byte of the longest token.
  void split(std::string_view whole, const SpecialParts& special, const std::function<void(size_t, size_t)>& text,
             const std::function<void(int64_t)>& token) const;

 private:
  struct Match {
    const AddedToken* token = nullptr;
    size_t end = 0;
  };
  Match longest(std::string_view whole, size_t begin, const SpecialParts::Part& part) const;

  std::vector<AddedToken> tokens_;
  std::vector<std::unordered_map<unsigned char, uint32_t>> children_;  // a trie over bytes; node 0 is its root
  std::vector<int64_t> token_of_;  // by node: index of the token that ends there, or -1
};

}  // namespace precis

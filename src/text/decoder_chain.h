// From tokens back to text: the decoders of tokenizer.json.
#pragma once

#include <string>
#include <vector>

#include "pattern.h"

namespace precis {

class DecoderChain {
 public:
  void add_byte_level() { steps_.push_back({.kind = Kind::byte_level}); }
  void add_byte_fallback() { steps_.push_back({.kind = Kind::byte_fallback}); }
  void add_fuse() { steps_.push_back({.kind = Kind::fuse}); }
  void add_metaspace(const std::string& replacement, bool first_without);  // without spaces in the first token
  void add_replacement(TextPattern pattern, const std::string& content);
  void add_strip(const std::string& character, int64_t start, int64_t stop);  // at most as many at either end

  bool empty() const { return steps_.empty(); }
  std::string decode(std::vector<std::string> tokens) const;
  // The bytes that one token contributes, as far as its neighbours do not decide. `first`: of a text.
  std::string bytes(const std::string& token, bool first) const;
  std::string description() const;

 private:
  enum class Kind { byte_level, byte_fallback, fuse, metaspace, replacement, strip };
  struct Step {
    Kind kind;
    std::vector<TextPattern> pattern;  // of a replacement: one
    std::string text;
    int64_t start = 0, stop = 0;
    bool first_without = false;
  };
  static std::vector<std::string> apply(const Step& step, std::vector<std::string> tokens);
  std::vector<Step> steps_;
};

// The byte that a token such as "<0x0A>" stands for, or -1.
int byte_of_token(std::string_view token);

}  // namespace precis

// Normalisation before a text is split: Unicode's forms, replacements, and the few others that tokenizer files have.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "pattern.h"

namespace precis {

class Normalizer {
 public:
  enum class Form { nfc = 1, nfkc, nfd, nfkd };

  void add_form(Form form) { steps_.push_back({.kind = Kind::form, .form = form}); }
  void add_replacement(TextPattern pattern, const std::string& content);
  void add_prefix(const std::string& prefix) { steps_.push_back({.kind = Kind::prefix, .text = prefix}); }
  void add_strip(bool left, bool right);  // white space
  void add_lower_case() { steps_.push_back({.kind = Kind::lower_case}); }

  bool empty() const { return steps_.empty(); }
  // `start_removed`, if given, is set where the text's first character was removed.
  std::string run(std::string_view text, bool* start_removed = nullptr) const;
  std::string description() const;  // for the tokenizer's hash

 private:
  enum class Kind { form, replacement, prefix, strip, lower_case };
  struct Step {
    Kind kind;
    Form form = Form::nfc;
    std::vector<TextPattern> pattern;  // of a replacement: one
    std::string text;                  // what is inserted
    bool left = false, right = false;
  };
  std::vector<Step> steps_;
};

}  // namespace precis

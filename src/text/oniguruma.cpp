// From Oniguruma's syntax (kkos/oniguruma, doc/RE) to ICU's. Each construct is either known to mean the same, or
// rewritten, or refused.
#include <unicode/uchar.h>

#include <charconv>
#include <vector>

#include "pattern.h"
#include "precis/core/error.h"
#include "precis/core/strings.h"
#include "precis/text/utf8.h"

namespace precis {
namespace {

constexpr std::string_view word_set = "\\p{Alphabetic}\\p{M}\\p{Nd}\\p{Pc}", hexadecimal_set = "0-9A-Fa-f";
constexpr std::string_view punctuation = "!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~";

class Translation {
 public:
  Translation(std::string_view pattern, const std::string& where) : pattern_(pattern), where_(where) {}

  std::string run() {
    while (at_ < pattern_.size()) step();
    if (!groups_.empty()) refuse("a group without its end");
    return out_;
  }

 private:
  static constexpr size_t none = std::string::npos;

  [[noreturn]] void refuse(const std::string& construct) const {
    throw Error({.what = "a regular expression of the tokenizer has " + construct + ", which is not supported",
                 .where = where_,
                 .found = excerpt(pattern_, 200),
                 .hint = "use the model's SentencePiece or GGUF tokenizer if it has one"});
  }
  bool next_is(std::string_view text) const { return pattern_.substr(at_).starts_with(text); }
  bool skip(std::string_view text) {
    if (!next_is(text)) return false;
    at_ += text.size();
    return true;
  }
  void atom(std::string_view text) {
    atom_ = out_.size();
    out_ += text;
  }

  // The next character as ICU writes it, without a meaning of its own.
  std::string literal() {
    const size_t length = utf8_length(pattern_.substr(at_));
    if (length == 0) refuse("invalid UTF-8");
    const std::string_view character = pattern_.substr(at_, length);
    at_ += length;
    return (punctuation.find(character[0]) != std::string_view::npos ? "\\" : "") + std::string(character);
  }

  void step() {
    const char c = pattern_[at_];
    if (c == '\\') return escape();
    if (c == '[') return atom(set());
    if (c == '(') return open();
    if (c == '*' || c == '+' || c == '?') return repeat();
    if (c == '{' && interval_length() > 0) return interval();
    if (c == ')') return close();
    if (c == '|') {
      ++at_, out_ += '|', atom_ = none;
    } else if (c == '.') {
      ++at_, atom("[^\\n]");
    } else if (c == '^') {  // Ruby: of every line
      ++at_, atom("(?:\\A|(?<=\\n)(?!\\z))");
    } else if (c == '$') {
      ++at_, atom("(?=\\n|\\z)");
    } else {
      atom(literal());
    }
  }

  void open() {
    const size_t begin = out_.size();
    if (at_ == 0 && skip("(?i)")) {
      out_ += "(?i)";
      return;
    }
    for (const char* kind : {"(?:", "(?i:", "(?-i:", "(?=", "(?!", "(?<=", "(?<!", "(?>"}) {
      if (!skip(kind)) continue;
      out_ += kind;
      groups_.push_back(begin);
      atom_ = none;
      return;
    }
    if (next_is("(?")) refuse("\"" + std::string(pattern_.substr(at_, 4)) + "\"");
    ++at_, out_ += "(?:", groups_.push_back(begin), atom_ = none;
  }

  void close() {
    if (groups_.empty()) refuse("\")\" without \"(\"");
    ++at_, out_ += ')';
    atom_ = groups_.back();
    groups_.pop_back();
  }

  void repeat() {
    if (atom_ == none) refuse("a quantifier without its target");
    out_ += pattern_[at_++];
    if (next_is("?") || next_is("+")) out_ += pattern_[at_++];
    if (next_is("*") || next_is("+") || next_is("?") || interval_length() > 0) refuse("a quantifier of a quantifier");
  }

  // The length of "{n}", "{n,}", "{,m}" or "{n,m}" at this place; 0: "{" is a character.
  size_t interval_length() const {
    if (!next_is("{")) return 0;
    const size_t end = pattern_.find('}', at_);
    if (end == none || end == at_ + 1) return 0;
    const std::string_view inside = pattern_.substr(at_ + 1, end - at_ - 1);
    const bool numbers = inside.find_first_not_of("0123456789,") == none && inside.find_first_of("0123456789") != none;
    return numbers && inside.find(',') == inside.rfind(',') ? end + 1 - at_ : 0;
  }

  void interval() {
    if (atom_ == none) refuse("a quantifier without its target");
    const size_t length = interval_length();
    std::string text(pattern_.substr(at_, length));
    at_ += length;
    if (text[1] == ',') text.insert(1, "0");
    out_ += text;
    if (next_is("+") || next_is("*")) {  // not possessive, but a repetition of the repetition
      out_ = out_.substr(0, atom_) + "(?:" + out_.substr(atom_) + ")" + pattern_[at_++];
    } else if (next_is("?")) {
      if (text.find(',') == none) refuse("\"{n}?\"");
      out_ += pattern_[at_++];
    }
    if (next_is("*") || next_is("+") || next_is("?") || interval_length() > 0) refuse("a quantifier of a quantifier");
  }

  // \p{Name}, \p{^Name}, \P{Name}: a general category or a script.
  std::string property() {
    bool negative = pattern_[at_ - 1] == 'P';
    const size_t end = pattern_.find('}', at_);
    if (!next_is("{") || end == none) refuse("a property without its name");
    std::string name(pattern_.substr(at_ + 1, end - at_ - 1));
    at_ = end + 1;
    if (name.starts_with('^')) negative = !negative, name.erase(0, 1);
    const bool category = !name.empty() && name.size() <= 2 && name[0] >= 'A' && name[0] <= 'Z' &&
                          u_getPropertyValueEnum(UCHAR_GENERAL_CATEGORY_MASK, name.c_str()) != UCHAR_INVALID_CODE;
    const bool script = u_getPropertyValueEnum(UCHAR_SCRIPT, name.c_str()) != UCHAR_INVALID_CODE;
    if (!category && !script) refuse("the property \"" + name + "\"");
    return (negative ? "\\P{" : "\\p{") + std::string(category ? "" : "Script=") + name + "}";
  }

  // Digits of \xHH, \x{H...} and \uHHHH as a character of ICU's.
  std::string code_point(char kind) {
    const bool braces = kind == 'x' && skip("{");
    size_t length = kind == 'u' ? 4 : 2;
    if (braces) length = pattern_.find('}', at_) - at_;
    uint32_t value = 0;
    const std::string digits(pattern_.substr(at_, length));
    const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), value, 16);
    if (error != std::errc() || end != digits.data() + digits.size() || digits.empty())
      refuse("a malformed code point");
    if (kind == 'x' && !braces && value > 127) refuse("a byte that is no character");
    at_ += length + (braces ? 1 : 0);
    return "\\x{" + digits + "}";
  }

  // The set of characters that \s, \w, \d, \h, \p{} or one of their opposites stands for, to be used inside brackets;
  // "" if `kind` is no such escape.
  std::string set_escape(char kind) {
    switch (kind) {
      case 's':
        return "\\p{White_Space}";
      case 'S':
        return "\\P{White_Space}";
      case 'd':
        return "\\p{Nd}";
      case 'D':
        return "\\P{Nd}";
      case 'w':
        return std::string(word_set);
      case 'W':
        return cat("[^", word_set, "]");
      case 'h':
        return std::string(hexadecimal_set);
      case 'H':
        return cat("[^", hexadecimal_set, "]");
      case 'p':
      case 'P':
        return property();
      default:
        return "";
    }
  }

  // An escaped character, after the backslash.
  std::string escaped_character(char kind) {
    if (kind == 'n' || kind == 't' || kind == 'r' || kind == 'f' || kind == 'a' || kind == 'e') return {'\\', kind};
    if (kind == 'v') return "\\x{B}";
    if (kind == 'x' || kind == 'u') return code_point(kind);
    const bool letter = (kind >= '0' && kind <= '9') || (kind >= 'A' && kind <= 'Z') || (kind >= 'a' && kind <= 'z');
    if (letter) refuse(std::string("\"\\") + kind + "\"");
    --at_;
    return literal();
  }

  void escape() {
    ++at_;
    if (at_ == pattern_.size()) refuse("a backslash at its end");
    const char kind = pattern_[at_++];
    const std::string word = cat("[", word_set, "]");
    if (kind == 'b') return atom(cat("(?:(?<=", word, ")(?!", word, ")|(?<!", word, ")(?=", word, "))"));
    if (kind == 'B') return atom(cat("(?:(?<=", word, ")(?=", word, ")|(?<!", word, ")(?!", word, "))"));
    if (kind == 'A' || kind == 'z') return atom(std::string{'\\', kind});
    if (kind == 'Z') return atom("(?=\\n?\\z)");
    const std::string several = set_escape(kind);
    if (several.empty()) return atom(escaped_character(kind));
    atom(kind == 'w' || kind == 'h' ? cat("[", several, "]") : several);
  }

  // A set in brackets, from "[" on.
  std::string set() {
    ++at_;
    std::string out = skip("^") ? "[^" : "[";
    for (bool first = true;; first = false) {
      if (at_ >= pattern_.size()) refuse("a set without its end");
      if (next_is("[:")) refuse("a POSIX class");
      if (next_is("&&")) refuse("an intersection of sets");
      if (next_is("]") && !first) break;
      if (next_is("[")) {
        out += set();
        continue;
      }
      const std::string low = set_member(out);
      if (low.empty() || !next_is("-") || at_ + 1 >= pattern_.size() || pattern_[at_ + 1] == ']') {
        out += low;
        continue;
      }
      ++at_;
      std::string escapes;
      const std::string high = next_is("[") ? "" : set_member(escapes);
      if (high.empty()) refuse("a range that ends in a set");
      out += low + "-" + high;
    }
    ++at_;
    return out + "]";
  }

  // A single character of a set, or "" after an escape for several, which is appended to `out`.
  std::string set_member(std::string& out) {
    if (pattern_[at_] != '\\') return literal();
    if (++at_ == pattern_.size()) refuse("a backslash at its end");
    const char kind = pattern_[at_++];
    if (kind == 'b') return "\\x{8}";
    const std::string several = set_escape(kind);
    out += several;
    return several.empty() ? escaped_character(kind) : "";
  }

  std::string_view pattern_;
  const std::string& where_;
  std::string out_;
  size_t at_ = 0, atom_ = none;  // atom_: where the last quantifiable part of out_ begins
  std::vector<size_t> groups_;   // where open groups of out_ begin
};

}  // namespace

std::string icu_pattern(std::string_view oniguruma, const std::string& where) {
  return Translation(oniguruma, where).run();
}

}  // namespace precis

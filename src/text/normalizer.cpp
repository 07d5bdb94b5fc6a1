#include "normalizer.h"

#include <unicode/normalizer2.h>
#include <unicode/uchar.h>

#include "precis/core/error.h"
#include "precis/core/strings.h"

namespace precis {
namespace {

const icu::Normalizer2& normalizer_of(Normalizer::Form form) {
  UErrorCode status = U_ZERO_ERROR;
  const icu::Normalizer2* found = form == Normalizer::Form::nfc    ? icu::Normalizer2::getNFCInstance(status)
                                  : form == Normalizer::Form::nfkc ? icu::Normalizer2::getNFKCInstance(status)
                                  : form == Normalizer::Form::nfd  ? icu::Normalizer2::getNFDInstance(status)
                                                                   : icu::Normalizer2::getNFKDInstance(status);
  check(U_SUCCESS(status), "ICU lacks its normalisation data");
  return *found;
}

std::string normalized(std::string_view text, Normalizer::Form form) {
  UErrorCode status = U_ZERO_ERROR;
  const icu::UnicodeString out = normalizer_of(form).normalize(from_utf8(text), status);
  check(U_SUCCESS(status), "ICU cannot normalise");
  return to_utf8(out);
}

// Each character by itself, as in Rust: no final sigma.
std::string lower_case_of(std::string_view text) {
  const icu::UnicodeString whole = from_utf8(text);
  icu::UnicodeString out;
  for (int32_t i = 0; i < whole.length(); i = whole.moveIndex32(i, 1)) {
    const UChar32 c = whole.char32At(i);
    out.append(u_tolower(c));
    if (c == 0x130) out.append(static_cast<UChar32>(0x307));  // the one letter that becomes two
  }
  return to_utf8(out);
}

std::string stripped(std::string_view text, bool left, bool right) {
  const icu::UnicodeString whole = from_utf8(text);
  const auto is_space = [&](int32_t i) { return u_hasBinaryProperty(whole.char32At(i), UCHAR_WHITE_SPACE) != 0; };
  int32_t begin = 0, end = whole.length();
  while (left && begin < end && is_space(begin)) ++begin;  // all of Unicode's spaces are one unit long
  while (right && end > begin && is_space(end - 1)) --end;
  return to_utf8(icu::UnicodeString(whole, begin, end - begin));
}

}  // namespace

void Normalizer::add_replacement(TextPattern pattern, const std::string& content) {
  steps_.push_back({.kind = Kind::replacement, .pattern = {std::move(pattern)}, .text = content});
}

void Normalizer::add_strip(bool left, bool right) {
  steps_.push_back({.kind = Kind::strip, .left = left, .right = right});
}

std::string Normalizer::run(std::string_view text, bool* start_removed) const {
  std::string out(text);
  for (const Step& step : steps_) {
    std::string next;
    switch (step.kind) {
      case Kind::form:
        next = normalized(out, step.form);
        break;
      case Kind::replacement:
        next = step.pattern.front().replace_all(out, step.text);
        break;
      case Kind::prefix:
        next = out.empty() ? "" : step.text + out;
        break;
      case Kind::strip:
        next = stripped(out, step.left, step.right);
        break;
      case Kind::lower_case:
        next = lower_case_of(out);
        break;
    }
    const bool removes =
        (step.kind == Kind::strip && step.left) || (step.kind == Kind::replacement && step.text.empty());
    if (start_removed != nullptr && removes && next.size() < out.size()) {
      *start_removed |= step.kind == Kind::strip ? stripped(out, true, false).size() < out.size() : next[0] != out[0];
    }
    out = std::move(next);
  }
  return out;
}

std::string Normalizer::description() const {
  if (steps_.empty()) return "normalizer 0";
  std::vector<std::string> out;
  for (const Step& step : steps_) {
    if (step.kind == Kind::form) {
      out.push_back(cat("normalizer ", static_cast<int>(step.form)));
    } else {
      out.push_back(cat("normalizer step ", static_cast<int>(step.kind), " ",
                        step.pattern.empty() ? "" : step.pattern.front().source(), " ", step.text, " ", step.left,
                        step.right));
    }
  }
  return join(out, "\n");
}

}  // namespace precis

#include "precis/text/pretokenizer.h"

#include <unicode/normalizer2.h>
#include <unicode/regex.h>
#include <unicode/unistr.h>

#include "precis/core/error.h"
#include "precis/core/strings.h"

namespace precis {

struct PreTokenizer::Split {
  std::string source;
  std::unique_ptr<icu::RegexPattern> pattern;
};

PreTokenizer::PreTokenizer() = default;
PreTokenizer::~PreTokenizer() = default;
PreTokenizer::PreTokenizer(PreTokenizer&&) noexcept = default;
PreTokenizer& PreTokenizer::operator=(PreTokenizer&&) noexcept = default;

const char* const gpt2_pattern = R"('s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+)";

namespace {

const char* const llama3_pattern =
    R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)";
const char* const qwen2_pattern =
    R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)";

// ICU's \s lacks U+000B and U+0085; in Oniguruma and Rust it is the Unicode property.
std::string with_unicode_spaces(const std::string& pattern) {
  std::string out;
  for (size_t i = 0; i < pattern.size(); ++i) {
    if (pattern[i] != '\\' || i + 1 == pattern.size()) {
      out += pattern[i];
      continue;
    }
    const char next = pattern[++i];
    if (next == 's' || next == 'S') {
      out += next == 's' ? "\\p{White_Space}" : "\\P{White_Space}";
    } else {
      out += {'\\', next};
    }
  }
  return out;
}

const icu::Normalizer2* normalizer_of(PreTokenizer::Normalizer kind) {
  UErrorCode status = U_ZERO_ERROR;
  const icu::Normalizer2* found = kind == PreTokenizer::Normalizer::nfc    ? icu::Normalizer2::getNFCInstance(status)
                                  : kind == PreTokenizer::Normalizer::nfkc ? icu::Normalizer2::getNFKCInstance(status)
                                  : kind == PreTokenizer::Normalizer::nfd  ? icu::Normalizer2::getNFDInstance(status)
                                                                           : icu::Normalizer2::getNFKDInstance(status);
  check(U_SUCCESS(status), "ICU lacks its normalisation data");
  return found;
}

}  // namespace

void PreTokenizer::add_split(const std::string& pattern, const std::string& where) {
  UErrorCode status = U_ZERO_ERROR;
  UParseError parse_error{};
  const auto text = icu::UnicodeString::fromUTF8(with_unicode_spaces(pattern));
  std::unique_ptr<icu::RegexPattern> compiled(icu::RegexPattern::compile(text, parse_error, status));
  if (U_FAILURE(status)) {
    throw Error({.what = "the pre-tokenizer's regular expression cannot be compiled",
                 .where = where,
                 .found = excerpt(pattern, 200)});
  }
  splits_.push_back({pattern, std::move(compiled)});
}

void PreTokenizer::add_literal_split(const std::string& literal, const std::string& where) {
  std::string escaped;
  for (const char c : literal) {
    if (std::string_view("\\^$.|?*+()[]{}-#&~").find(c) != std::string_view::npos) escaped += '\\';
    escaped += c;
  }
  add_split(escaped, where);
}

void PreTokenizer::run(std::string_view text, const std::function<void(std::string_view)>& piece) const {
  auto whole = icu::UnicodeString::fromUTF8(icu::StringPiece(text.data(), static_cast<int32_t>(text.size())));
  UErrorCode status = U_ZERO_ERROR;
  if (normalizer_ != Normalizer::none) whole = normalizer_of(normalizer_)->normalize(whole, status);
  std::vector<icu::UnicodeString> pieces = {whole};
  for (const auto& split : splits_) {
    std::vector<icu::UnicodeString> next;
    for (const auto& part : pieces) {
      const std::unique_ptr<icu::RegexMatcher> matcher(split.pattern->matcher(part, status));
      check(U_SUCCESS(status), "ICU cannot match");
      // In units of 10,000 steps; some patterns would take exponential time.
      matcher->setTimeLimit(10 + part.length() / 10, status);
      int32_t done = 0;
      while (matcher->find(status) && U_SUCCESS(status)) {
        const int32_t start = matcher->start(status), end = matcher->end(status);
        if (start > done) next.push_back(part.tempSubStringBetween(done, start));
        if (end > start) next.push_back(part.tempSubStringBetween(start, end));
        done = std::max(done, end);
      }
      if (U_FAILURE(status))
        throw Error({.what = "ICU gave up matching the pre-tokenizer's pattern", .found = u_errorName(status)});
      if (done < part.length()) next.push_back(part.tempSubStringBetween(done, part.length()));
    }
    // tempSubString aliases its parent, so copy each piece before the parents are destroyed.
    for (auto& item : next) item = icu::UnicodeString(item.getBuffer(), item.length());
    pieces = std::move(next);
  }
  std::string bytes;
  for (const auto& item : pieces) {
    bytes.clear();
    item.toUTF8String(bytes);
    if (!bytes.empty()) piece(bytes);
  }
}

std::string PreTokenizer::description() const {
  std::string out = cat("normalizer ", static_cast<int>(normalizer_));
  for (const auto& split : splits_) out += "\nsplit " + split.source;
  return out;
}

PreTokenizer named_pretokenizer(const std::string& name, const std::string& where) {
  PreTokenizer out;
  if (name == "gpt-2" || name == "gpt2") {
    out.add_split(gpt2_pattern, where);
  } else if (name == "llama-bpe" || name == "llama3" || name == "llama-v3") {
    out.add_split(llama3_pattern, where);
  } else if (name == "qwen2") {
    out.set_normalizer(PreTokenizer::Normalizer::nfc);
    out.add_split(qwen2_pattern, where);
  } else if (name == "smollm") {
    out.add_split("\\p{N}", where);
    out.add_split(gpt2_pattern, where);
  } else {
    throw Error({.what = "unsupported pre-tokenizer",
                 .where = where,
                 .expected = "gpt-2, llama-bpe, qwen2 or smollm",
                 .found = name,
                 .hint = "set tokenizer.path to a tokenizer.json, which contains its pattern"});
  }
  return out;
}

}  // namespace precis

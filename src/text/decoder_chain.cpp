#include "decoder_chain.h"

#include <charconv>

#include "precis/core/strings.h"
#include "precis/text/utf8.h"
#include "pretokenizer.h"

namespace precis {
namespace {

std::string without_ends(std::string_view token, const std::string& character, int64_t start, int64_t stop) {
  for (; start > 0 && token.starts_with(character); --start) token.remove_prefix(character.size());
  for (; stop > 0 && token.ends_with(character); --stop) token.remove_suffix(character.size());
  return std::string(token);
}

// Runs of byte tokens become their characters, or U+FFFD for each byte of a run that is not valid UTF-8.
std::vector<std::string> with_bytes_joined(const std::vector<std::string>& tokens) {
  std::vector<std::string> out;
  std::string bytes;
  const auto flush = [&] {
    if (first_invalid_utf8(bytes) == std::string::npos) {
      if (!bytes.empty()) out.push_back(bytes);
    } else {
      out.insert(out.end(), bytes.size(), "\xEF\xBF\xBD");
    }
    bytes.clear();
  };
  for (const auto& token : tokens) {
    const int byte = byte_of_token(token);
    if (byte >= 0) {
      bytes += static_cast<char>(byte);
    } else {
      flush();
      out.push_back(token);
    }
  }
  flush();
  return out;
}

}  // namespace

int byte_of_token(std::string_view token) {
  if (token.size() != 6 || !token.starts_with("<0x") || token[5] != '>') return -1;
  int value = -1;
  const auto [end, error] = std::from_chars(token.data() + 3, token.data() + 5, value, 16);
  return error == std::errc() && end == token.data() + 5 && value >= 0 ? value : -1;
}

void DecoderChain::add_metaspace(const std::string& replacement, bool first_without) {
  steps_.push_back({.kind = Kind::metaspace, .text = replacement, .first_without = first_without});
}

void DecoderChain::add_replacement(TextPattern pattern, const std::string& content) {
  steps_.push_back({.kind = Kind::replacement, .pattern = {std::move(pattern)}, .text = content});
}

void DecoderChain::add_strip(const std::string& character, int64_t start, int64_t stop) {
  steps_.push_back({.kind = Kind::strip, .text = character, .start = start, .stop = stop});
}

std::vector<std::string> DecoderChain::apply(const Step& step, std::vector<std::string> tokens) {
  switch (step.kind) {
    case Kind::byte_level: {
      std::string all;
      for (const auto& token : tokens) {
        std::string bytes;
        all += bytes_of(token, bytes) ? bytes : token;
      }
      return {to_valid_utf8(all)};
    }
    case Kind::byte_fallback:
      return with_bytes_joined(tokens);
    case Kind::fuse:
      return {join(tokens, "")};
    case Kind::metaspace:
      for (size_t i = 0; i < tokens.size(); ++i)
        tokens[i] = replace_all(tokens[i], step.text, i == 0 && step.first_without ? "" : " ");
      return tokens;
    case Kind::replacement:
      for (auto& token : tokens) token = step.pattern.front().replace_all(token, step.text);
      return tokens;
    case Kind::strip:
      for (auto& token : tokens) token = without_ends(token, step.text, step.start, step.stop);
      return tokens;
  }
  return tokens;
}

std::string DecoderChain::decode(std::vector<std::string> tokens) const {
  if (steps_.empty()) return join(tokens, " ");
  for (const Step& step : steps_) tokens = apply(step, std::move(tokens));
  return join(tokens, "");
}

std::string DecoderChain::bytes(const std::string& token, bool first) const {
  std::string out = token;
  bool fused = false;
  for (const Step& step : steps_) {
    if (step.kind == Kind::byte_level) {
      std::string bytes;
      if (bytes_of(out, bytes)) out = bytes;
    } else if (step.kind == Kind::byte_fallback) {
      if (const int byte = byte_of_token(out); byte >= 0) return std::string(1, static_cast<char>(byte));
    } else if (step.kind == Kind::fuse) {
      fused = true;
    } else if (step.kind == Kind::metaspace) {
      out = replace_all(out, step.text, first && step.first_without ? "" : " ");
    } else if (step.kind == Kind::replacement) {
      out = step.pattern.front().replace_all(out, step.text);
    } else if (!fused || first) {  // behind Fuse: of the whole text
      out = without_ends(out, step.text, step.start, fused ? 0 : step.stop);
    }
  }
  return out;
}

std::string DecoderChain::description() const {
  std::string out;
  for (const Step& step : steps_)
    out +=
        cat("\ndecoder ", static_cast<int>(step.kind), " ", step.pattern.empty() ? "" : step.pattern.front().source(),
            " ", step.text, " ", step.start, " ", step.stop, " ", step.first_without);
  return out;
}

}  // namespace precis

#include "precis/text/tokenizer.h"

#include <algorithm>

#include "added_tokens.h"
#include "precis/core/error.h"
#include "precis/core/strings.h"

namespace precis {

Tokenizer::Tokenizer() : added_(std::make_unique<AddedTokens>()), added_normalized_(std::make_unique<AddedTokens>()) {}
Tokenizer::~Tokenizer() = default;

std::string Tokenizer::normalize(std::string_view text, bool*) const { return std::string(text); }

void Tokenizer::set_added_tokens(const std::vector<AddedToken>& tokens, const std::string& where) {
  for (AddedToken token : tokens) {
    added_by_name_.emplace(token.content, token.id);
    if (token.special) {
      special_by_name_.emplace(token.content, token.id);
      special_by_id_.emplace(token.id, token.content);
    }
    if (token.normalized && !token.content.empty()) {
      bool ignored = false;
      token.content = normalize(token.content, &ignored);
      if (token.content.empty()) {
        throw Error({.what = "normalisation leaves nothing of an added token",
                     .where = where,
                     .found = cat("token ", token.id)});
      }
      added_normalized_->add(token);
    } else {
      added_->add(token);
    }
  }
}

int64_t Tokenizer::token_id(const std::string& token) const {
  const auto added = added_by_name_.find(token);
  return added == added_by_name_.end() ? vocabulary_id(token) : added->second;
}

TokenIds Tokenizer::encode(std::string_view text, bool parse_special) const {
  return encode({{std::string(text), parse_special}});
}

TokenIds Tokenizer::encode(const std::vector<TextPart>& parts) const {
  std::string whole;
  SpecialParts special;
  for (const auto& part : parts) {
    whole += part.text;
    if (!special.parts.empty() && special.parts.back().special == part.special) special.parts.pop_back();
    special.parts.push_back({whole.size(), part.special});
  }
  if (const size_t at = first_invalid_utf8(whole); at != std::string_view::npos)
    throw Error({.what = "the text is not valid UTF-8", .where = cat("byte ", at)});
  TokenIds ids;
  const auto add = [&](int64_t id) { ids.push_back(id); };
  added_->split(
      whole, special,
      [&](size_t begin, size_t end) {
        bool at_start = begin == 0, start_removed = false;
        const auto normal_until = [&](size_t until) {
          return normalize(std::string_view(whole).substr(begin, until - begin), &start_removed);
        };
        const std::string normal = normal_until(end);
        SpecialParts normal_special;  // a border within the segment moves as the text before it grows
        for (const auto& part : special.parts) {
          if (part.end <= begin) continue;
          const bool last = part.end >= end;
          const size_t border = last || added_normalized_->empty() ? normal.size() : normal_until(part.end).size();
          normal_special.parts.push_back({std::min(border, normal.size()), part.special});
          if (last) break;
        }
        normal_special.parts.back().end = normal.size();
        at_start = at_start && !start_removed;
        added_normalized_->split(
            normal, normal_special,
            [&](size_t from, size_t to) {
              encode_plain(std::string_view(normal).substr(from, to - from), at_start && from == 0, ids);
            },
            add);
      },
      add);
  return ids;
}

std::string Tokenizer::text_of(const TokenIds& ids) const {
  std::string bytes;
  for (size_t i = 0; i < ids.size(); ++i) bytes += i == 0 ? first_token_bytes(ids[i]) : token_bytes(ids[i]);
  return to_valid_utf8(bytes);
}

std::string Tokenizer::decode(const TokenIds& ids, bool skip_special) const {
  TokenIds kept;
  for (const int64_t id : ids) {
    if (id < 0 || id >= vocabulary_size()) {
      throw Error({.what = "token id out of range", .expected = cat("0 to ", vocabulary_size() - 1), .found = cat(id)});
    }
    if (!(skip_special && is_special(id))) kept.push_back(id);
  }
  return text_of(kept);
}

std::string StreamDecoder::push(int64_t id) {
  const std::string bytes = at_start_ ? tokenizer_.first_token_bytes(id) : tokenizer_.token_bytes(id);
  at_start_ = false;
  return stream_.push(bytes);
}

}  // namespace precis

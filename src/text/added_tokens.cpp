#include "added_tokens.h"

#include <unicode/uchar.h>
#include <unicode/utf8.h>

#include <algorithm>

namespace precis {
namespace {

bool is_space(UChar32 c) { return u_hasBinaryProperty(c, UCHAR_WHITE_SPACE) != 0; }

// Unicode's \w (UTS 18, annex C).
bool is_word(UChar32 c) {
  return u_hasBinaryProperty(c, UCHAR_ALPHABETIC) != 0 || u_hasBinaryProperty(c, UCHAR_JOIN_CONTROL) != 0 ||
         (U_GET_GC_MASK(c) & (U_GC_M_MASK | U_GC_ND_MASK | U_GC_PC_MASK)) != 0;
}

UChar32 character_at(std::string_view text, size_t begin) {
  UChar32 c = 0;
  auto i = static_cast<int32_t>(begin);
  U8_NEXT(text.data(), i, static_cast<int32_t>(text.size()), c);
  return c;
}

// The character that ends at `end`; sets `begin` to its first byte.
UChar32 character_before(std::string_view text, size_t end, size_t& begin) {
  UChar32 c = 0;
  auto i = static_cast<int32_t>(end);
  U8_PREV(text.data(), 0, i, c);
  begin = static_cast<size_t>(i);
  return c;
}

bool stands_alone(std::string_view whole, size_t begin, size_t end) {
  size_t ignored = 0;
  return !(begin > 0 && is_word(character_before(whole, begin, ignored))) &&
         !(end < whole.size() && is_word(character_at(whole, end)));
}

}  // namespace

void AddedTokens::add(const AddedToken& token) {
  if (token.content.empty()) return;
  uint32_t node = 0;
  for (const char c : token.content) {
    const auto [child, is_new] =
        children_[node].emplace(static_cast<unsigned char>(c), static_cast<uint32_t>(children_.size()));
    node = child->second;
    if (is_new) children_.emplace_back();
  }
  token_of_.resize(children_.size(), -1);
  if (token_of_[node] >= 0) return;
  token_of_[node] = static_cast<int64_t>(tokens_.size());
  tokens_.push_back(token);
}

// A special token is one only inside a part.
AddedTokens::Match AddedTokens::longest(std::string_view whole, size_t begin, const SpecialParts::Part& part) const {
  Match best;
  uint32_t node = 0;
  for (size_t i = begin; i < whole.size(); ++i) {
    const auto child = children_[node].find(static_cast<unsigned char>(whole[i]));
    if (child == children_[node].end()) break;
    node = child->second;
    if (token_of_[node] < 0) continue;
    const AddedToken& token = tokens_[static_cast<size_t>(token_of_[node])];
    if (!token.special || i + 1 <= part.end) best = {&token, i + 1};
  }
  return best;
}

void AddedTokens::split(std::string_view whole, const SpecialParts& special,
                        const std::function<void(size_t, size_t)>& text,
                        const std::function<void(int64_t)>& token) const {
  size_t done = 0, spaces_end = 0;  // white space was last skipped up to spaces_end
  auto part = special.parts.begin();
  for (size_t at = 0; at < whole.size() && !empty();) {
    while (part->end <= at) ++part;
    const Match match = longest(whole, at, *part);
    if (match.token == nullptr) {
      ++at;
      continue;
    }
    size_t begin = at, end = match.end;
    at = match.end;
    // A special token's name in plain text stays text, and nothing inside it is a token either.
    if (match.token->special && !part->special) continue;
    if (match.token->single_word && !stands_alone(whole, begin, end)) continue;
    for (size_t before = 0; match.token->lstrip && begin > done; begin = before) {
      if (!is_space(character_before(whole, begin, before))) break;
    }
    if (match.token->rstrip) {
      spaces_end = std::max(spaces_end, end);
      while (spaces_end < whole.size() && is_space(character_at(whole, spaces_end))) {
        auto next = static_cast<int32_t>(spaces_end);
        U8_FWD_1(whole.data(), next, static_cast<int32_t>(whole.size()));
        spaces_end = static_cast<size_t>(next);
      }
      end = spaces_end;
    }
    if (done < begin) text(done, begin);
    token(match.token->id);
    done = end;
  }
  if (done < whole.size()) text(done, whole.size());
}

}  // namespace precis

#include "bpe.h"

#include <algorithm>
#include <array>
#include <queue>

#include "precis/core/error.h"
#include "precis/core/hash.h"
#include "precis/core/strings.h"

namespace precis {
namespace {

// GPT-2's bytes_to_unicode: printable Latin-1 maps to itself, the other bytes to U+0100 onwards.
std::array<int, 512> make_byte_by_code_point() {
  std::array<int, 512> byte_of{};
  byte_of.fill(-1);
  int next = 256;
  for (int b = 0; b < 256; ++b) {
    const bool itself = (b >= 33 && b <= 126) || (b >= 161 && b <= 172) || (b >= 174 && b <= 255);
    byte_of[static_cast<size_t>(itself ? b : next++)] = b;
  }
  return byte_of;
}

// Converts printable text to the bytes it encodes; false if a character encodes none.
bool unprintable(std::string_view text, std::string& out) {
  static const std::array<int, 512> byte_of = make_byte_by_code_point();
  while (!text.empty()) {
    const size_t length = utf8_length(text);
    if (length == 0 || length > 2) return false;
    const auto byte = [&](size_t i) { return static_cast<unsigned>(static_cast<unsigned char>(text[i])); };
    const unsigned code_point = length == 1 ? byte(0) : (byte(0) & 31) << 6 | (byte(1) & 63);
    if (code_point >= byte_of.size() || byte_of[code_point] < 0) return false;
    out += static_cast<char>(byte_of[code_point]);
    text.remove_prefix(length);
  }
  return true;
}

}  // namespace

std::string bytes_of_printable(std::string_view text, const std::string& where) {
  std::string out;
  if (!unprintable(text, out)) {
    throw Error({.what = "the token is not in byte-level form", .where = where, .found = excerpt(text)});
  }
  return out;
}

bool is_printable_byte_text(std::string_view text) {
  std::string ignored;
  return unprintable(text, ignored);
}

std::vector<std::pair<std::string, std::string>> parse_merges(const std::vector<std::string>& lines,
                                                              const std::string& where) {
  std::vector<std::pair<std::string, std::string>> merges;
  for (std::string line : lines) {
    if (line.ends_with('\r')) line.pop_back();  // files written on Windows
    if (line.empty() || line.starts_with("#version")) continue;
    const size_t space = line.find(' ');
    if (space == std::string::npos || line.find(' ', space + 1) != std::string::npos) {
      throw Error({.what = "not a merge",
                   .where = where,
                   .expected = "two tokens separated by a space",
                   .found = excerpt(line)});
    }
    merges.emplace_back(bytes_of_printable(line.substr(0, space), where),
                        bytes_of_printable(line.substr(space + 1), where));
  }
  return merges;
}

BpeTokenizer::BpeTokenizer(BpeDefinition definition, const std::string& where)
    : tokens_(std::move(definition.tokens)),
      whole_piece_first_(definition.whole_piece_first),
      pre_tokenizer_(std::move(definition.pre_tokenizer)) {
  for (const auto& special : definition.specials) {
    if (special.id < 0 || special.id > most_token_ids) {
      throw Error({.what = "the id of an added token is out of range", .where = where, .found = cat(special.id)});
    }
    if (special.id >= vocabulary_size()) tokens_.resize(static_cast<size_t>(special.id) + 1);
  }
  std::vector<bool> is_added(tokens_.size());
  for (const auto& special : definition.specials) {
    is_added[static_cast<size_t>(special.id)] = true;
    tokens_[static_cast<size_t>(special.id)] = special.name;
    add_special(special.name, special.id, !special.special);
  }
  for (size_t id = 0; id < tokens_.size(); ++id) {
    if (is_added[id] || tokens_[id].empty()) continue;
    if (!id_by_bytes_.emplace(tokens_[id], static_cast<int64_t>(id)).second) {
      throw Error(
          {.what = "two ids have the same token", .where = where, .found = excerpt(to_valid_utf8(tokens_[id]))});
    }
  }
  for (int byte = 0; byte < 256; ++byte) {
    const auto found = id_by_bytes_.find(std::string(1, static_cast<char>(byte)));
    byte_ids_[byte] = found == id_by_bytes_.end() ? -1 : found->second;
  }
  add_merges(definition, where);

  Hasher hasher;
  hasher.update(pre_tokenizer_.description()).update(whole_piece_first_ ? "|whole" : "|merge");
  for (const auto& token : tokens_) hasher.update(token).update(std::string_view("\0", 1));
  for (const auto& [left, right] : definition.merges) hasher.update(left).update(" ").update(right).update("\n");
  set_hash(hasher.hex());
}

void BpeTokenizer::add_merges(const BpeDefinition& definition, const std::string& where) {
  const auto id_of = [&](const std::string& bytes) {
    const auto found = id_by_bytes_.find(bytes);
    return found == id_by_bytes_.end() ? int64_t{-1} : found->second;
  };
  if (definition.merge_by_rank_of_result) {
    for (const auto& [bytes, id] : id_by_bytes_) {
      for (size_t cut = 1; cut < bytes.size(); ++cut) {
        const int64_t left = id_of(bytes.substr(0, cut)), right = id_of(bytes.substr(cut));
        if (left >= 0 && right >= 0) merges_[pair_key(left, right)] = {id, id};
      }
    }
    return;
  }
  int64_t rank = 0;
  for (const auto& [left, right] : definition.merges) {
    const int64_t a = id_of(left), b = id_of(right), result = id_of(left + right);
    if (a < 0 || b < 0 || result < 0) {
      throw Error({.what = "a merge names a token that the vocabulary lacks",
                   .where = where,
                   .found = excerpt(to_valid_utf8(left + " " + right))});
    }
    merges_.emplace(pair_key(a, b), Merge{rank++, result});
  }
}

std::string BpeTokenizer::token_bytes(int64_t id) const {
  check(id >= 0 && id < vocabulary_size(), "token_bytes: id out of range");
  return tokens_[static_cast<size_t>(id)];
}

void BpeTokenizer::encode_plain(std::string_view text, TokenIds& out) const {
  pre_tokenizer_.run(text, [&](std::string_view piece) { encode_piece(piece, out); });
}

void BpeTokenizer::encode_piece(std::string_view piece, TokenIds& out) const {
  if (whole_piece_first_) {
    if (const auto found = id_by_bytes_.find(std::string(piece)); found != id_by_bytes_.end())
      return out.push_back(found->second);
  }
  struct Symbol {
    int64_t id;
    int previous, next;
  };
  std::vector<Symbol> symbols;  // a linked list; id -1: merged into its left neighbour
  for (const char c : piece) {
    const int64_t id = byte_ids_[static_cast<unsigned char>(c)];
    const int index = static_cast<int>(symbols.size());
    if (id >= 0) symbols.push_back({id, index - 1, index + 1});
  }
  if (symbols.empty()) return;
  symbols.back().next = -1;

  struct Candidate {
    int64_t rank;
    int left;
    int64_t left_id, right_id, result;
    bool operator>(const Candidate& o) const { return rank != o.rank ? rank > o.rank : left > o.left; }
  };
  std::priority_queue<Candidate, std::vector<Candidate>, std::greater<>> queue;
  const auto consider = [&](int left) {
    if (left < 0 || symbols[static_cast<size_t>(left)].next < 0) return;
    const Symbol& a = symbols[static_cast<size_t>(left)];
    const Symbol& b = symbols[static_cast<size_t>(a.next)];
    const auto merge = merges_.find(pair_key(a.id, b.id));
    if (merge != merges_.end()) queue.push({merge->second.rank, left, a.id, b.id, merge->second.result});
  };
  for (int i = 0; i + 1 < static_cast<int>(symbols.size()); ++i) consider(i);
  while (!queue.empty()) {
    const Candidate best = queue.top();
    queue.pop();
    Symbol& left = symbols[static_cast<size_t>(best.left)];
    if (left.id != best.left_id || left.next < 0) continue;  // outdated: one of the two was merged
    Symbol& right = symbols[static_cast<size_t>(left.next)];
    if (right.id != best.right_id) continue;
    left.id = best.result;
    right.id = -1;
    left.next = right.next;
    if (left.next >= 0) symbols[static_cast<size_t>(left.next)].previous = best.left;
    consider(left.previous);
    consider(best.left);
  }
  for (int i = 0; i >= 0; i = symbols[static_cast<size_t>(i)].next) out.push_back(symbols[static_cast<size_t>(i)].id);
}

}  // namespace precis

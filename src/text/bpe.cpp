#include <queue>

#include "precis/core/error.h"
#include "precis/core/strings.h"
#include "token_model.h"

namespace precis {
namespace {

struct TextHash : std::hash<std::string_view> {
  using is_transparent = void;
};
using IdByToken = std::unordered_map<std::string, int64_t, TextHash, std::equal_to<>>;

class Bpe : public TokenModel {
 public:
  Bpe(BpeDefinition definition, const std::string& where) : definition_(std::move(definition)) {
    for (size_t id = 0; id < definition_.tokens.size(); ++id) {
      const std::string& token = definition_.tokens[id];
      if (token.empty() || id_by_token_.emplace(token, static_cast<int64_t>(id)).second) continue;
      throw Error({.what = "two ids have the same token", .where = where, .found = excerpt(to_valid_utf8(token))});
    }
    if (!definition_.unknown.empty()) {
      unknown_id_ = id_of(definition_.unknown);
      if (unknown_id_ < 0)
        throw Error(
            {.what = "the vocabulary lacks the unknown token", .where = where, .expected = definition_.unknown});
    }
    for (int64_t& id : byte_ids_) id = -1;
    for (unsigned byte = 0; byte < 256 && definition_.byte_fallback; ++byte) {
      static constexpr std::string_view digits = "0123456789ABCDEF";
      byte_ids_[byte] = id_of(std::string("<0x") + digits[byte >> 4U] + digits[byte & 15U] + ">");
    }
    add_merges(where);
  }

  const std::vector<std::string>& tokens() const override { return definition_.tokens; }
  int64_t id_of(std::string_view token) const override {
    const auto found = id_by_token_.find(token);
    return found == id_by_token_.end() ? -1 : found->second;
  }
  std::string settings() const override {
    std::string out = definition_.whole_piece_first ? "|whole" : "|merge";
    if (definition_.byte_fallback) out += "|bytes";
    if (!definition_.unknown.empty()) out += cat("|unknown ", definition_.unknown, definition_.fuse_unknown);
    return out;
  }
  void encode(std::string_view piece, TokenIds& out) const override;

 private:
  struct Merge {
    int64_t rank, result;
  };
  struct Symbol {
    int64_t id;
    int previous, next;
  };
  static uint64_t pair_key(int64_t left, int64_t right) {
    return static_cast<uint64_t>(left) << 32U | static_cast<uint64_t>(right);
  }
  void add_merges(const std::string& where);
  std::vector<Symbol> symbols(std::string_view piece) const;

  BpeDefinition definition_;
  IdByToken id_by_token_;
  std::unordered_map<uint64_t, Merge> merges_;
  std::array<int64_t, 256> byte_ids_;
  int64_t unknown_id_ = -1;
};

void Bpe::add_merges(const std::string& where) {
  if (definition_.merge_by_rank_of_result) {
    for (const auto& [token, id] : id_by_token_) {
      for (size_t cut = 1; cut < token.size(); ++cut) {
        const int64_t left = id_of(std::string_view(token).substr(0, cut)),
                      right = id_of(std::string_view(token).substr(cut));
        if (left >= 0 && right >= 0) merges_[pair_key(left, right)] = {id, id};
      }
    }
    return;
  }
  int64_t rank = 0;
  for (const auto& [left, right] : definition_.merges) {
    const int64_t a = id_of(left), b = id_of(right), result = id_of(left + right);
    if (a < 0 || b < 0 || result < 0) {
      throw Error({.what = "a merge names a token that the vocabulary lacks",
                   .where = where,
                   .found = excerpt(to_valid_utf8(left + " " + right))});
    }
    merges_[pair_key(a, b)] = {rank++, result};
  }
}

// The characters of `piece` as a linked list.
std::vector<Bpe::Symbol> Bpe::symbols(std::string_view piece) const {
  std::vector<Symbol> out;
  const auto add = [&](int64_t id) {
    const int index = static_cast<int>(out.size());
    out.push_back({id, index - 1, index + 1});
  };
  bool unknown = false;  // an unknown token is still to be added
  for (size_t at = 0, length = 0; at < piece.size(); at += length) {
    length = std::max<size_t>(utf8_length(piece.substr(at)), 1);
    const std::string_view character = piece.substr(at, length);
    if (const int64_t id = id_of(character); id >= 0) {
      if (unknown) add(unknown_id_);
      unknown = false;
      add(id);
      continue;
    }
    bool has_bytes = definition_.byte_fallback;
    for (const char c : character) has_bytes = has_bytes && byte_ids_[static_cast<unsigned char>(c)] >= 0;
    if (has_bytes) {
      for (const char c : character) add(byte_ids_[static_cast<unsigned char>(c)]);
    } else if (unknown_id_ >= 0) {
      if (unknown && !definition_.fuse_unknown) add(unknown_id_);
      unknown = true;
    }
  }
  if (unknown) add(unknown_id_);
  if (!out.empty()) out.back().next = -1;
  return out;
}

void Bpe::encode(std::string_view piece, TokenIds& out) const {
  if (definition_.whole_piece_first) {
    if (const int64_t id = id_of(piece); id >= 0) return out.push_back(id);
  }
  std::vector<Symbol> list = symbols(piece);
  if (list.empty()) return;
  const auto symbol = [&list](int i) -> Symbol& { return list[static_cast<size_t>(i)]; };

  struct Candidate {
    int64_t rank;
    int left;
    int64_t left_id, right_id, result;
    bool operator>(const Candidate& o) const { return rank != o.rank ? rank > o.rank : left > o.left; }
  };
  std::priority_queue<Candidate, std::vector<Candidate>, std::greater<>> queue;
  const auto consider = [&](int left) {
    if (left < 0 || symbol(left).next < 0) return;
    const int64_t a = symbol(left).id, b = symbol(symbol(left).next).id;
    const auto merge = merges_.find(pair_key(a, b));
    if (merge != merges_.end()) queue.push({merge->second.rank, left, a, b, merge->second.result});
  };
  for (int i = 0; i + 1 < static_cast<int>(list.size()); ++i) consider(i);
  while (!queue.empty()) {
    const Candidate best = queue.top();
    queue.pop();
    Symbol& left = symbol(best.left);
    if (left.id != best.left_id || left.next < 0) continue;  // outdated: one of the two was merged
    Symbol& right = symbol(left.next);
    if (right.id != best.right_id) continue;
    left.id = best.result;
    right.id = -1;  // merged into its left neighbour
    left.next = right.next;
    if (left.next >= 0) symbol(left.next).previous = best.left;
    consider(left.previous);
    consider(best.left);
  }
  for (int i = 0; i >= 0; i = symbol(i).next) out.push_back(symbol(i).id);
}

}  // namespace

std::unique_ptr<TokenModel> make_bpe(BpeDefinition definition, const std::string& where) {
  return std::make_unique<Bpe>(std::move(definition), where);
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
    merges.emplace_back(line.substr(0, space), line.substr(space + 1));
  }
  return merges;
}

}  // namespace precis

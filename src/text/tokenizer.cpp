#include "precis/text/tokenizer.h"

#include "precis/core/error.h"
#include "precis/core/strings.h"

namespace precis {
namespace {

// The earliest of `names` in `text`, the longest if several start there; npos if there is none.
size_t find_token(std::string_view text, const std::map<std::string, int64_t>& names,
                  const std::pair<const std::string, int64_t>** hit) {
  size_t best = std::string_view::npos;
  for (const auto& entry : names) {
    const size_t at = text.find(entry.first);
    if (at == std::string_view::npos) continue;
    if (at < best || (at == best && entry.first.size() > (*hit)->first.size())) {
      best = at;
      *hit = &entry;
    }
  }
  return best;
}

}  // namespace

void Tokenizer::add_special(const std::string& name, int64_t id, bool always) {
  if (name.empty()) return;
  if (always) {
    always_by_name_[name] = id;
  } else {
    special_by_name_[name] = id;
    special_by_id_[id] = name;
  }
}

TokenIds Tokenizer::encode(std::string_view text, bool parse_special) const {
  if (const size_t at = first_invalid_utf8(text); at != std::string_view::npos) {
    throw Error({.what = "the text is not valid UTF-8", .where = cat("byte ", at)});
  }
  std::map<std::string, int64_t> names = always_by_name_;
  if (parse_special) names.insert(special_by_name_.begin(), special_by_name_.end());
  TokenIds ids;
  while (!text.empty()) {
    const std::pair<const std::string, int64_t>* hit = nullptr;
    const size_t at = find_token(text, names, &hit);
    if (at != 0) encode_plain(text.substr(0, at), ids);
    if (hit == nullptr) break;
    ids.push_back(hit->second);
    text.remove_prefix(at + hit->first.size());
  }
  return ids;
}

TokenIds Tokenizer::encode(const std::vector<TextPart>& parts) const {
  TokenIds ids;
  std::string plain;  // not encoded yet
  const auto encode_plain_text = [&] {
    const TokenIds more = encode(plain);
    ids.insert(ids.end(), more.begin(), more.end());
    plain.clear();
  };
  for (const auto& part : parts) {
    std::string_view text = part.text;
    while (part.special) {
      const std::pair<const std::string, int64_t>* hit = nullptr;
      const size_t at = find_token(text, special_by_name_, &hit);
      if (hit == nullptr) break;
      plain += text.substr(0, at);
      encode_plain_text();
      ids.push_back(hit->second);
      text.remove_prefix(at + hit->first.size());
    }
    plain += text;
  }
  encode_plain_text();
  return ids;
}

std::string Tokenizer::decode(const TokenIds& ids, bool skip_special) const {
  std::string bytes;
  for (const int64_t id : ids) {
    if (id < 0 || id >= vocabulary_size()) {
      throw Error({.what = "token id out of range", .expected = cat("0 to ", vocabulary_size() - 1), .found = cat(id)});
    }
    if (!(skip_special && is_special(id))) bytes += token_bytes(id);
  }
  if (strips_leading_space() && bytes.starts_with(' ')) bytes.erase(0, 1);
  return to_valid_utf8(bytes);
}

std::string StreamDecoder::push(int64_t id) {
  std::string bytes = tokenizer_.token_bytes(id);
  if (at_start_ && tokenizer_.strips_leading_space() && bytes.starts_with(' ')) bytes.erase(0, 1);
  at_start_ = false;
  return stream_.push(bytes);
}

}  // namespace precis

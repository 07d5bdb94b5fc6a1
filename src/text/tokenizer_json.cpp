// Hugging Face's tokenizer.json (huggingface/tokenizers). Unsupported parts are errors by name.
#include "tokenizer_json.h"
#include <set>

#include "precis/core/error.h"
#include "precis/core/json.h"
#include "precis/core/log.h"
#include "precis/core/strings.h"

namespace precis {
namespace {

void require_plain_model(const LargeJson& model, const std::string& where) {
  for (const char* key : {"dropout", "continuing_subword_prefix", "end_of_word_suffix"}) {
    const LargeJson& value = member(model, key);
    const bool none = value.is_null() || (value.is_string() && value.get<std::string>().empty()) ||
                      (value.is_number() && value.get<double>() == 0);
    if (!none) unsupported("tokenizer model option", key, where);
  }
}

UnigramDefinition read_unigram(const LargeJson& model, const std::string& where) {
  UnigramDefinition out;
  for (const LargeJson& piece : member(model, "vocab")) {
    if (!piece.is_array() || piece.size() != 2 || !piece[0].is_string() || !piece[1].is_number())
      throw Error({.what = "not a piece with its score", .where = where, .found = json_kind(piece)});
    out.pieces.emplace_back(piece[0].get<std::string>(), piece[1].get<double>());
  }
  const LargeJson& unknown = member(model, "unk_id");
  if (!unknown.is_number_integer())
    throw Error({.what = "a Unigram model without an unknown token", .where = where, .expected = "model.unk_id"});
  out.unknown_id = unknown.get<int64_t>();
  out.byte_fallback = option(model, "byte_fallback", false, where);
  return out;
}

// Ids as the tokenizers library gives them: a word of the vocabulary keeps its id, others follow behind the last one.
// Where that is a word's id already, since the vocabulary has gaps, the file's own id counts.
std::vector<AddedToken> read_added_tokens(const LargeJson& json, const std::map<std::string, int64_t>& vocabulary,
                                          const std::string& where) {
  std::vector<AddedToken> out;
  std::map<std::string, int64_t> ids;
  std::set<int64_t> taken;
  for (const auto& word : vocabulary) taken.insert(word.second);
  int64_t next = static_cast<int64_t>(vocabulary.size());
  for (const LargeJson& item : member(json, "added_tokens")) {
    AddedToken token = read_added_token(item, where);
    if (token.content.empty()) continue;
    const auto id = json_get<int64_t>(item, "id", where);
    const auto word = vocabulary.find(token.content);
    const auto before = ids.find(token.content);
    token.id = word != vocabulary.end() ? word->second
               : before != ids.end()    ? before->second
               : taken.count(next) > 0  ? id
                                        : next;
    ids.emplace(token.content, token.id);
    next = std::max(next, token.id + 1);
    if (id != token.id)
      log::warn(cat(where, ": the added token ", excerpt(token.content), " has id ", token.id, ", not ", id));
    out.push_back(token);
  }
  return out;
}

}  // namespace

BpeDefinition read_bpe(const LargeJson& model, const std::string& where) {
  require_plain_model(model, where);
  BpeDefinition out;
  const LargeJson& vocabulary = member(model, "vocab");
  if (!vocabulary.is_object()) throw Error({.what = "model.vocab is missing", .where = where});
  for (const auto& [text, value] : vocabulary.items()) {
    if (!value.is_number_integer() || value.get<int64_t>() < 0 || value.get<int64_t>() > most_token_ids) {
      throw Error({.what = "bad id of token " + excerpt(text), .where = where, .found = json_kind(value)});
    }
    const auto id = value.get<size_t>();
    if (id >= out.tokens.size()) out.tokens.resize(id + 1);
    if (!out.tokens[id].empty()) throw Error({.what = "two tokens have the same id", .where = where, .found = cat(id)});
    out.tokens[id] = text;
  }
  for (const LargeJson& merge : member(model, "merges")) {
    if (merge.is_string()) {
      const auto one = parse_merges({merge.get<std::string>()}, where);
      out.merges.insert(out.merges.end(), one.begin(), one.end());
    } else if (merge.is_array() && merge.size() == 2 && merge[0].is_string() && merge[1].is_string()) {
      out.merges.emplace_back(merge[0].get<std::string>(), merge[1].get<std::string>());
    } else {
      throw Error({.what = "not a merge", .where = where, .found = json_kind(merge)});
    }
  }
  const LargeJson& unknown = member(model, "unk_token");
  if (unknown.is_string()) out.unknown = unknown.get<std::string>();
  out.byte_fallback = option(model, "byte_fallback", false, where);
  out.fuse_unknown = option(model, "fuse_unk", false, where);
  out.whole_piece_first = option(model, "ignore_merges", false, where);
  return out;
}

AddedToken read_added_token(const LargeJson& item, const std::string& where) {
  AddedToken token{.content = json_get<std::string>(item, "content", where)};
  token.special = option(item, "special", false, where);
  token.normalized = option(item, "normalized", !token.special, where);
  token.lstrip = option(item, "lstrip", false, where);
  token.rstrip = option(item, "rstrip", false, where);
  token.single_word = option(item, "single_word", false, where);
  return token;
}

Pipeline pipeline_from_tokenizer_json(const LargeJson& json, const std::string& where) {
  Pipeline out;
  const LargeJson& model = member(json, "model");
  if (!model.is_object())
    throw Error({.what = "not a tokenizer.json", .where = where, .expected = "an object with a \"model\""});
  read_normalizer(member(json, "normalizer"), where, out.normalizer);
  read_pre_tokenizer(member(json, "pre_tokenizer"), where, out.pre_tokenizer);
  read_decoder(member(json, "decoder"), where, out.decoder);
  if (out.decoder.empty() && out.pre_tokenizer.is_byte_level()) out.decoder.add_byte_level();

  const LargeJson& named_type = member(model, "type");
  const std::string type = named_type.is_string() ? named_type.get<std::string>()
                           : model.contains("merges") || member(model, "vocab").is_object() ? "BPE"
                                                                                            : "Unigram";
  std::map<std::string, int64_t> vocabulary;
  if (type == "BPE") {
    BpeDefinition definition = read_bpe(model, where);
    for (size_t id = 0; id < definition.tokens.size(); ++id) {
      if (!definition.tokens[id].empty()) vocabulary[definition.tokens[id]] = static_cast<int64_t>(id);
    }
    out.added = read_added_tokens(json, vocabulary, where);
    out.merges = definition.merges;
    out.model = make_bpe(std::move(definition), where);
    out.kind = out.pre_tokenizer.is_byte_level() ? "byte-level BPE" : "BPE";
  } else if (type == "Unigram") {
    UnigramDefinition definition = read_unigram(model, where);
    for (size_t id = 0; id < definition.pieces.size(); ++id)
      vocabulary[definition.pieces[id].first] = static_cast<int64_t>(id);
    out.added = read_added_tokens(json, vocabulary, where);
    for (const auto& token : out.added) {
      if (token.special) definition.special.push_back(token.id);
    }
    out.model = make_unigram(definition, where);
    out.kind = "Unigram";
  } else {
    unsupported("tokenizer model", type, where, "BPE or Unigram");
  }
  return out;
}

}  // namespace precis

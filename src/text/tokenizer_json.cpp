// Hugging Face's tokenizer.json, byte-level BPE only. Unsupported parts are errors by name.
#include <set>

#include "bpe.h"
#include "precis/core/error.h"
#include "precis/core/strings.h"

namespace precis {
namespace {

[[noreturn]] void unsupported(const std::string& part, const std::string& name, const std::string& where) {
  throw Error({.what = "unsupported " + part, .where = where, .found = excerpt(name)});
}

std::string type_of(const LargeJson& part, const std::string& where) {
  return json_get<std::string>(part, "type", where);
}

const LargeJson& member(const LargeJson& object, const char* key) {
  static const LargeJson null;
  return object.is_object() && object.contains(key) ? object.at(key) : null;
}

void read_normalizer(const LargeJson& part, const std::string& where, PreTokenizer& out) {
  if (part.is_null()) return;
  const std::string type = type_of(part, where);
  if (type == "Sequence") {
    const LargeJson& parts = member(part, "normalizers");
    if (parts.size() > 1) unsupported("normalizer", "a sequence of several", where);
    for (const LargeJson& inner : parts) read_normalizer(inner, where, out);
    return;
  }
  using Normalizer = PreTokenizer::Normalizer;
  static const std::map<std::string, Normalizer> known = {
      {"NFC", Normalizer::nfc}, {"NFKC", Normalizer::nfkc}, {"NFD", Normalizer::nfd}, {"NFKD", Normalizer::nfkd}};
  const auto found = known.find(type);
  if (found == known.end()) unsupported("normalizer", type, where);
  out.set_normalizer(found->second);
}

void read_split(const LargeJson& part, const std::string& where, PreTokenizer& out) {
  const std::string behavior = json_get<std::string>(part, "behavior", where);
  if (behavior != "Isolated") unsupported("pre-tokenizer Split with behavior", behavior, where);
  const LargeJson& pattern = member(part, "pattern");
  if (pattern.contains("Regex")) return out.add_split(json_get<std::string>(pattern, "Regex", where), where);
  if (pattern.contains("String")) return out.add_literal_split(json_get<std::string>(pattern, "String", where), where);
  unsupported("pre-tokenizer Split with pattern", pattern.dump(), where);
}

// Returns whether a ByteLevel step was among the parts.
bool read_pre_tokenizer(const LargeJson& part, const std::string& where, PreTokenizer& out) {
  if (part.is_null()) return false;
  const std::string type = type_of(part, where);
  if (type == "Sequence") {
    bool byte_level = false;
    for (const LargeJson& inner : member(part, "pretokenizers")) byte_level |= read_pre_tokenizer(inner, where, out);
    return byte_level;
  }
  if (type == "Split") {
    read_split(part, where, out);
    return false;
  }
  if (type == "Digits") {
    out.add_split(part.value("individual_digits", false) ? "\\p{N}" : "\\p{N}+", where);
    return false;
  }
  if (type != "ByteLevel") unsupported("pre-tokenizer", type, where);
  if (part.value("add_prefix_space", false)) unsupported("pre-tokenizer ByteLevel with", "add_prefix_space", where);
  if (part.value("use_regex", true)) out.add_split(gpt2_pattern, where);
  return true;
}

void refuse_unsupported_model(const LargeJson& model, const std::string& where) {
  const std::string type = model.value("type", "BPE");
  if (type != "BPE") unsupported("tokenizer model", type, where);
  if (model.value("byte_fallback", false)) unsupported("tokenizer model option", "byte_fallback", where);
  for (const char* key : {"dropout", "unk_token", "continuing_subword_prefix", "end_of_word_suffix"}) {
    const LargeJson& value = member(model, key);
    if (!value.is_null() && !(value.is_string() && value.get<std::string>().empty()))
      unsupported("tokenizer model option", key, where);
  }
}

void read_vocabulary(const LargeJson& model, const std::string& where, const std::set<std::string>& added,
                     BpeDefinition& out) {
  const LargeJson& vocabulary = member(model, "vocab");
  if (!vocabulary.is_object()) throw Error({.what = "model.vocab is missing", .where = where});
  for (const auto& [text, value] : vocabulary.items()) {
    if (!value.is_number_integer() || value.get<int64_t>() < 0 || value.get<int64_t>() > most_token_ids) {
      throw Error({.what = "bad id of token " + excerpt(text), .where = where, .found = json_kind(value)});
    }
    const auto id = value.get<size_t>();
    if (id >= out.tokens.size()) out.tokens.resize(id + 1);
    if (!out.tokens[id].empty()) throw Error({.what = "two tokens have the same id", .where = where, .found = cat(id)});
    out.tokens[id] = added.count(text) > 0 && !is_printable_byte_text(text) ? text : bytes_of_printable(text, where);
  }
}

void read_merges(const LargeJson& model, const std::string& where, BpeDefinition& out) {
  std::vector<std::string> lines;
  for (const LargeJson& merge : member(model, "merges")) {
    if (merge.is_string()) {
      lines.push_back(merge.get<std::string>());
    } else if (merge.is_array() && merge.size() == 2 && merge[0].is_string() && merge[1].is_string()) {
      lines.push_back(merge[0].get<std::string>() + " " + merge[1].get<std::string>());
    } else {
      throw Error({.what = "not a merge", .where = where, .found = json_kind(merge)});
    }
  }
  out.merges = parse_merges(lines, where);
}

}  // namespace

BpeDefinition bpe_from_tokenizer_json(const LargeJson& json, const std::string& where) {
  BpeDefinition out;
  const LargeJson& model = member(json, "model");
  if (!model.is_object())
    throw Error({.what = "not a tokenizer.json", .where = where, .expected = "an object with a \"model\""});
  refuse_unsupported_model(model, where);
  read_normalizer(member(json, "normalizer"), where, out.pre_tokenizer);
  if (!read_pre_tokenizer(member(json, "pre_tokenizer"), where, out.pre_tokenizer)) {
    unsupported("pre-tokenizer", "not byte-level", where);
  }
  if (const LargeJson& decoder = member(json, "decoder");
      !decoder.is_null() && type_of(decoder, where) != "ByteLevel") {
    unsupported("decoder", type_of(decoder, where), where);
  }
  std::set<std::string> added;
  for (const LargeJson& token : member(json, "added_tokens")) {
    for (const char* option : {"lstrip", "rstrip", "single_word"}) {
      if (token.value(option, false)) unsupported("option of an added token", option, where);
    }
    out.specials.push_back({json_get<std::string>(token, "content", where), json_get<int64_t>(token, "id", where),
                            token.value("special", true)});
    added.insert(out.specials.back().name);
  }
  read_vocabulary(model, where, added, out);
  read_merges(model, where, out);
  out.whole_piece_first = model.value("ignore_merges", false);
  return out;
}

}  // namespace precis

#include "precis/core/error.h"
#include "precis/core/strings.h"
#include "tokenizer_json.h"

namespace precis {
namespace {

std::string type_of(const LargeJson& part, const std::string& where) {
  return json_get<std::string>(part, "type", where);
}

std::string text_of(const LargeJson& part, const char* key, const std::string& where) {
  return json_get<std::string>(part, key, where);
}

TextPattern read_pattern(const LargeJson& part, const std::string& where) {
  const LargeJson& pattern = member(part, "pattern");
  if (pattern.contains("Regex")) return TextPattern::regex(text_of(pattern, "Regex", where), where);
  if (pattern.contains("String")) return TextPattern::literal(text_of(pattern, "String", where), where);
  unsupported("pattern", pattern.dump(), where, "Regex or String");
}

SplitBehavior read_behavior(const LargeJson& part, const std::string& where) {
  static const std::map<std::string, SplitBehavior> known = {
      {"Removed", SplitBehavior::removed},
      {"Isolated", SplitBehavior::isolated},
      {"MergedWithPrevious", SplitBehavior::merged_with_previous},
      {"MergedWithNext", SplitBehavior::merged_with_next},
      {"Contiguous", SplitBehavior::contiguous}};
  const std::string name = part.contains("behavior") ? text_of(part, "behavior", where) : "Isolated";
  const auto found = known.find(name);
  if (found == known.end()) unsupported("behavior of a pre-tokenizer", name, where);
  return found->second;
}

// Of a Metaspace, as pre-tokenizer or decoder. Older files have add_prefix_space only.
PreTokenizer::Prepend read_prepend(const LargeJson& part, const std::string& where) {
  if (!part.contains("prepend_scheme"))
    return option(part, "add_prefix_space", true, where) ? PreTokenizer::Prepend::always : PreTokenizer::Prepend::never;
  const std::string scheme = text_of(part, "prepend_scheme", where);
  if (scheme == "always") return PreTokenizer::Prepend::always;
  if (scheme == "first") return PreTokenizer::Prepend::first;
  if (scheme == "never") return PreTokenizer::Prepend::never;
  unsupported("prepend_scheme", scheme, where, "always, first or never");
}

TextPattern characters(const char* set, const std::string& where) { return TextPattern::regex(set, where); }

}  // namespace

void unsupported(const std::string& part, const std::string& name, const std::string& where,
                 const std::string& expected) {
  throw Error({.what = "unsupported " + part,
               .where = where,
               .expected = expected,
               .found = excerpt(name),
               .hint = "use the model's tokenizer.model or GGUF file if it has one"});
}

const LargeJson& member(const LargeJson& object, const char* key) {
  static const LargeJson null;
  return object.is_object() && object.contains(key) ? object.at(key) : null;
}

bool option(const LargeJson& part, const char* key, bool fallback, const std::string& where) {
  const LargeJson& value = member(part, key);
  if (value.is_null()) return fallback;
  return json_get<bool>(part, key, where);
}

void read_normalizer(const LargeJson& part, const std::string& where, Normalizer& out) {
  if (part.is_null()) return;
  const std::string type = type_of(part, where);
  static const std::map<std::string, Normalizer::Form> forms = {{"NFC", Normalizer::Form::nfc},
                                                                {"NFKC", Normalizer::Form::nfkc},
                                                                {"NFD", Normalizer::Form::nfd},
                                                                {"NFKD", Normalizer::Form::nfkd}};
  if (type == "Sequence") {
    for (const LargeJson& inner : member(part, "normalizers")) read_normalizer(inner, where, out);
  } else if (const auto form = forms.find(type); form != forms.end()) {
    out.add_form(form->second);
  } else if (type == "Replace") {
    out.add_replacement(read_pattern(part, where), text_of(part, "content", where));
  } else if (type == "Prepend") {
    out.add_prefix(text_of(part, "prepend", where));
  } else if (type == "Strip") {
    out.add_strip(option(part, "strip_left", true, where), option(part, "strip_right", true, where));
  } else if (type == "Lowercase") {
    out.add_lower_case();
  } else {
    unsupported("normalizer", type, where,
                "NFC, NFKC, NFD, NFKD, Replace, Prepend, Strip, Lowercase or a Sequence of them");
  }
}

void read_pre_tokenizer(const LargeJson& part, const std::string& where, PreTokenizer& out) {
  if (part.is_null()) return;
  const std::string type = type_of(part, where);
  if (type == "Sequence") {
    for (const LargeJson& inner : member(part, "pretokenizers")) read_pre_tokenizer(inner, where, out);
  } else if (type == "Split") {
    out.add_split(read_pattern(part, where), read_behavior(part, where), option(part, "invert", false, where));
  } else if (type == "Digits") {
    out.add_split(characters(option(part, "individual_digits", false, where) ? "\\p{N}" : "\\p{N}+", where));
  } else if (type == "ByteLevel") {
    if (option(part, "add_prefix_space", true, where)) out.add_space_prefix();
    if (option(part, "use_regex", true, where)) out.add_split(TextPattern::regex(gpt2_pattern, where));
    out.add_byte_level();
  } else if (type == "Metaspace") {
    const std::string replacement = text_of(part, "replacement", where);
    out.add_metaspace(replacement, read_prepend(part, where));
    if (option(part, "split", true, where))
      out.add_split(TextPattern::literal(replacement, where), SplitBehavior::merged_with_next);
  } else if (type == "Whitespace") {
    out.add_split(characters("\\w+|[^\\w\\s]+", where), SplitBehavior::removed, true);
  } else if (type == "WhitespaceSplit") {
    out.add_split(characters("\\s", where), SplitBehavior::removed);
  } else if (type == "Punctuation") {
    out.add_split(characters("[!-/:-@\\[-`{-~\\p{P}]", where), read_behavior(part, where));
  } else if (type == "CharDelimiterSplit") {
    out.add_split(TextPattern::literal(text_of(part, "delimiter", where), where), SplitBehavior::removed);
  } else {
    unsupported(
        "pre-tokenizer", type, where,
        "ByteLevel, Metaspace, Split, Digits, Punctuation, Whitespace, WhitespaceSplit, CharDelimiterSplit or a "
        "Sequence of them");
  }
}

void read_decoder(const LargeJson& part, const std::string& where, DecoderChain& out) {
  if (part.is_null()) return;
  const std::string type = type_of(part, where);
  if (type == "Sequence") {
    for (const LargeJson& inner : member(part, "decoders")) read_decoder(inner, where, out);
  } else if (type == "ByteLevel") {
    out.add_byte_level();
  } else if (type == "ByteFallback") {
    out.add_byte_fallback();
  } else if (type == "Fuse") {
    out.add_fuse();
  } else if (type == "Metaspace") {
    out.add_metaspace(text_of(part, "replacement", where), read_prepend(part, where) != PreTokenizer::Prepend::never);
  } else if (type == "Replace") {
    out.add_replacement(read_pattern(part, where), text_of(part, "content", where));
  } else if (type == "Strip") {
    out.add_strip(text_of(part, "content", where), json_get<int64_t>(part, "start", where),
                  json_get<int64_t>(part, "stop", where));
  } else {
    unsupported("decoder", type, where,
                "ByteLevel, ByteFallback, Fuse, Metaspace, Replace, Strip or a Sequence of them");
  }
}

}  // namespace precis

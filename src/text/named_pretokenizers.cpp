// Pre-tokenizers by the names of llama.cpp (src/llama-vocab.cpp), with the patterns of the models' own tokenizer.json
// where llama.cpp states them beside its own.
#include <map>

#include "precis/core/error.h"
#include "precis/core/strings.h"
#include "pretokenizer.h"

namespace precis {

const char* const gpt2_pattern = R"('s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+)";

namespace {

const char* const llama3_pattern =
    R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)";
const char* const qwen2_pattern =
    R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)";
const char* const qwen35_pattern =
    R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?[\p{L}\p{M}]+|\p{N}| ?[^\s\p{L}\p{M}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)";
const char* const tekken_pattern =
    R"([^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+)";
const char* const gpt4o_pattern =
    R"([^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+(?i:'s|'t|'re|'ve|'m|'ll|'d)?|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*(?i:'s|'t|'re|'ve|'m|'ll|'d)?|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+)";
const char* const deepseek3_pattern =
    R"([!"#$%&'()*+,\-./:;<=>?@\[\\\]^_`{|}~][A-Za-z]+|[^\r\n\p{L}\p{P}\p{S}]?[\p{L}\p{M}]+| ?[\p{P}\p{S}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)";
// Letters with case (Lu, Ll, Lt), and punctuation, as DeepSeek LLM's file lists them. Code points are in hexadecimal
// where normalisation would change them.
const char* const deepseek_letters =
    R"(\s?[A-Za-zµÀ-ÖØ-öø-ƺƼ-ƿǄ-ʓʕ-ʯͰ-ͳͶͷͻ-ͽͿΆΈ-ΊΌΎ-ΡΣ-ϵϷ-ҁҊ-ԯԱ-ՖႠ-ჅᎠ-Ᏽᏸ-ᏽᲐ-ᲺᲽ-Ჿᴀ-ᴫᵫ-ᵷᵹ-ᶚḀ-ἕἘ-Ἕἠ-ὅὈ-Ὅὐ-ὗὙὛὝ\x{1F5F}-\x{1F7D}ᾀ-ᾴᾶ-ᾼ\x{1FBE}ῂ-ῄῆ-ῌ\x{1FD0}-\x{1FD3}\x{1FD6}-\x{1FDB}ῠ-Ῥῲ-ῴῶ-ῼℂℇℊ-ℓℕℙ-ℝℤ\x{2126}ℨ\x{212A}-\x{212D}ℯ-ℴℹℼ-ℿⅅ-ⅉⅎↃↄⰀ-ⱻⱾ-ⳤⳫ-ⳮⳲⳳꙀ-ꙭꚀ-ꚛꜢ-ꝯꝱ-ꞇꞋ-ꞎꭰ-ꮿﬀ-ﬆﬓ-ﬗＡ-Ｚａ-ｚ𐐀-𐑏𐒰-𐓓𐓘-𐓻𐲀-𐲲𐳀-𐳲𑢠-𑣟𞤀-𞥃]+)";
const char* const deepseek_punctuation = R"(\s?[!-/:-~！-／：-～‘-‟　-。]+)";
const char* const deepseek_han = "[一-龥ࠀ-一가-퟿]+";

struct Named {
  std::vector<const char*> patterns;  // each splits what the one before it left
  bool nfc = false, whole_piece_first = false, adds_bos = false;
};

const std::map<std::string, Named>& table() {
  static const std::map<std::string, Named> names = [] {
    const Named gpt2{{gpt2_pattern}}, digits{{R"(\p{N})", gpt2_pattern}}, llama3{{llama3_pattern}, false, true, true},
        cl100k{{llama3_pattern}}, gpt4o{{gpt4o_pattern}}, gpt_neox{{gpt2_pattern}, true};
    std::map<std::string, Named> out = {
        {"command-r", {{R"(\p{N})", gpt2_pattern}, true}},
        {"qwen2", {{qwen2_pattern}, true}},
        {"qwen35", {{qwen35_pattern}, true}},
        {"stablelm2", {{qwen2_pattern}}},
        {"tekken", {{tekken_pattern}, false, true, true}},
        {"deepseek-llm", {{R"([\r\n])", deepseek_letters, deepseek_punctuation, R"(\s+$)", deepseek_han, R"(\p{N}+)"}}},
        {"deepseek-coder", {{R"([\r\n])", R"(\s?\p{L}+)", R"(\s?\p{P}+)", deepseek_han, R"(\p{N})"}}},
        {"deepseek-v3", {{R"(\p{N}{1,3})", "[一-龥぀-ゟ゠-ヿ]+", deepseek3_pattern}}},
        {"falcon", {{R"([\p{P}\$\+<=>\^~\|`]+)", gpt2_pattern, "[0-9][0-9][0-9]"}}}};
    for (const char* name : {"gpt-2", "gpt2", "phi-2", "jina-es", "jina-de", "jina-v1-en", "jina-v2-es", "jina-v2-de",
                             "jina-v2-code", "roberta-bpe", "jais", "exaone4"})
      out[name] = gpt2;
    for (const char* name : {"olmo", "mpt"}) out[name] = gpt_neox;
    for (const char* name : {"smollm", "starcoder", "refact", "codeshell", "exaone", "minerva-7b"}) out[name] = digits;
    for (const char* name : {"llama-bpe", "llama3", "llama-v3", "falcon3", "pixtral", "lfm2"}) out[name] = llama3;
    for (const char* name : {"dbrx", "smaug-bpe"}) out[name] = cl100k;
    for (const char* name : {"gpt-4o", "llama4"}) out[name] = gpt4o;
    for (const char* name : {"deepseek-r1-qwen", "megrez"}) out[name] = out.at("qwen2");
    return out;
  }();
  return names;
}

}  // namespace

NamedPreTokenizer named_pretokenizer(const std::string& name, const std::string& where) {
  const auto found = table().find(name);
  if (found == table().end()) {
    std::vector<std::string> names;
    for (const auto& entry : table()) names.push_back(entry.first);
    throw Error({.what = "unsupported pre-tokenizer",
                 .where = where,
                 .expected = "one of " + join(names, ", "),
                 .found = name,
                 .hint = "set tokenizer.path to a tokenizer.json, which contains its pattern"});
  }
  NamedPreTokenizer out{{}, found->second.nfc, found->second.whole_piece_first, found->second.adds_bos};
  for (const char* pattern : found->second.patterns) out.pre_tokenizer.add_split(TextPattern::regex(pattern, where));
  out.pre_tokenizer.add_byte_level();
  return out;
}

}  // namespace precis

#include <algorithm>

#include "bpe.h"
#include "precis/core/error.h"
#include "precis/core/file.h"
#include "precis/core/strings.h"
#include "readers.h"
#include "sentencepiece.h"

namespace precis {
namespace fs = std::filesystem;
namespace {

using TokenizerPointer = std::unique_ptr<Tokenizer>;

// Special ids from the files beside the tokenizer: tokenizer_config.json, config.json and generation_config.json.
void read_neighbours(const fs::path& folder, Tokenizer& tokenizer) {
  const auto id_of = [&](const LargeJson& name) -> int64_t {
    const LargeJson& text = name.is_object() && name.contains("content") ? name.at("content") : name;
    if (!text.is_string()) return -1;
    const auto found = tokenizer.special_tokens().find(text.get<std::string>());
    return found == tokenizer.special_tokens().end() ? -1 : found->second;
  };
  if (const fs::path path = folder / "tokenizer_config.json"; fs::exists(path)) {
    const LargeJson json = read_large_json(path);
    if (json.contains("bos_token")) tokenizer.bos_id = id_of(json.at("bos_token"));
    if (json.contains("eos_token")) tokenizer.eos_id = id_of(json.at("eos_token"));
    if (json.contains("pad_token")) tokenizer.pad_id = id_of(json.at("pad_token"));
    if (json.contains("add_bos_token") && json.at("add_bos_token").is_boolean())
      tokenizer.adds_bos = json.at("add_bos_token").get<bool>();
  }
  for (const char* name : {"config.json", "generation_config.json"}) {
    const fs::path path = folder / name;
    if (!fs::exists(path)) continue;
    const LargeJson json = read_large_json(path);
    if (!json.contains("eos_token_id")) continue;
    const LargeJson ids =
        json.at("eos_token_id").is_array() ? json.at("eos_token_id") : LargeJson::array({json.at("eos_token_id")});
    for (const LargeJson& id : ids) {
      if (!id.is_number_integer()) continue;
      if (tokenizer.eos_id < 0) tokenizer.eos_id = id.get<int64_t>();
      tokenizer.end_ids.push_back(id.get<int64_t>());
    }
  }
  if (tokenizer.eos_id >= 0) tokenizer.end_ids.push_back(tokenizer.eos_id);
  std::sort(tokenizer.end_ids.begin(), tokenizer.end_ids.end());
  tokenizer.end_ids.erase(std::unique(tokenizer.end_ids.begin(), tokenizer.end_ids.end()), tokenizer.end_ids.end());
  tokenizer.adds_bos = tokenizer.adds_bos && tokenizer.bos_id >= 0;
}

// A post-processor that prepends a special token (Llama 3) means that the model expects BOS.
void read_post_processor(const LargeJson& json, Tokenizer& tokenizer) {
  if (!json.is_object() || !json.contains("type")) return;
  if (json.at("type") == "Sequence" && json.contains("processors")) {
    for (const LargeJson& inner : json.at("processors")) read_post_processor(inner, tokenizer);
  }
  if (json.at("type") != "TemplateProcessing" || !json.contains("single") || json.at("single").empty()) return;
  const LargeJson& first = json.at("single").at(0);
  if (!first.contains("SpecialToken")) return;
  const auto found = tokenizer.special_tokens().find(first.at("SpecialToken").value("id", ""));
  if (found == tokenizer.special_tokens().end()) return;
  tokenizer.bos_id = found->second;
  tokenizer.adds_bos = true;
}

TokenizerPointer load_tokenizer_json(const fs::path& path) {
  const LargeJson json = read_large_json(path);
  auto tokenizer = std::make_unique<BpeTokenizer>(bpe_from_tokenizer_json(json, path.string()), path.string());
  if (json.contains("post_processor")) read_post_processor(json.at("post_processor"), *tokenizer);
  read_neighbours(path.parent_path(), *tokenizer);
  return tokenizer;
}

// vocab.json + merges.txt do not define the pre-tokenizer; the class or model name in the same folder does.
std::string pre_tokenizer_name(const fs::path& folder) {
  std::string name;
  if (const fs::path path = folder / "tokenizer_config.json"; fs::exists(path))
    name = read_large_json(path).value("tokenizer_class", "");
  if (name.empty() && fs::exists(folder / "config.json"))
    name = read_large_json(folder / "config.json").value("model_type", "");
  if (name.starts_with("Qwen2") || name == "qwen2" || name == "qwen3") return "qwen2";
  if (name.starts_with("GPT2") || name == "gpt2") return "gpt-2";
  throw Error({.what = "vocab.json and merges.txt do not define the pre-tokenizer",
               .where = folder.string(),
               .expected = "a tokenizer_config.json or config.json that names Qwen2, Qwen3 or GPT-2",
               .found = name.empty() ? "none" : name,
               .hint = "use a tokenizer.json"});
}

TokenizerPointer load_vocab_and_merges(const fs::path& folder) {
  const std::string where = (folder / "vocab.json").string();
  LargeJson wrapped = {
      {"model", {{"type", "BPE"}, {"vocab", read_large_json(folder / "vocab.json")}, {"merges", LargeJson::array()}}},
      {"pre_tokenizer", {{"type", "ByteLevel"}, {"add_prefix_space", false}}}};
  BpeDefinition definition = bpe_from_tokenizer_json(wrapped, where);
  const std::string merges_path = (folder / "merges.txt").string();
  definition.merges = parse_merges(split(read_file(merges_path), '\n'), merges_path);
  definition.pre_tokenizer = named_pretokenizer(pre_tokenizer_name(folder), where);
  if (const fs::path path = folder / "tokenizer_config.json"; fs::exists(path)) {
    const LargeJson json = read_large_json(path);
    if (json.contains("added_tokens_decoder") && json.at("added_tokens_decoder").is_object()) {
      for (const auto& [id, token] : json.at("added_tokens_decoder").items()) {
        if (id.empty() || id.size() > 8 || id.find_first_not_of("0123456789") != std::string::npos) {
          throw Error({.what = "bad id of an added token", .where = path.string(), .found = excerpt(id)});
        }
        definition.specials.push_back(
            {json_get<std::string>(token, "content", path.string()), std::stoll(id), token.value("special", true)});
      }
    }
  }
  auto tokenizer = std::make_unique<BpeTokenizer>(std::move(definition), where);
  read_neighbours(folder, *tokenizer);
  return tokenizer;
}

std::string from_base64(std::string_view text, const std::string& where) {
  static constexpr std::string_view digits = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  std::string out;
  unsigned buffer = 0;
  int bits = 0;
  for (const char c : text.substr(0, text.find('='))) {
    const size_t value = digits.find(c);
    if (value == std::string_view::npos) throw Error({.what = "not base64", .where = where, .found = excerpt(text)});
    buffer = (buffer << 6 | static_cast<unsigned>(value)) & 0xFFFF;
    bits += 6;
    if (bits >= 8) out += static_cast<char>(buffer >> (bits -= 8) & 0xFF);
  }
  return out;
}

// Llama 3's `tokenizer.model`: a line "base64 rank" per token, special tokens after them (meta-llama/llama3).
TokenizerPointer load_tiktoken(std::string_view file, const std::string& where) {
  BpeDefinition definition;
  definition.merge_by_rank_of_result = definition.whole_piece_first = true;
  for (const auto& line : split(file, '\n')) {
    if (line.empty()) continue;
    const size_t space = line.find(' ');
    if (space == std::string::npos || line.substr(space + 1) != cat(definition.tokens.size())) {
      throw Error({.what = "not a tiktoken vocabulary",
                   .where = where,
                   .expected = cat("a line that ends in rank ", definition.tokens.size()),
                   .found = excerpt(line)});
    }
    definition.tokens.push_back(from_base64(line.substr(0, space), where));
  }
  if (definition.tokens.size() != 128000) {
    throw Error({.what = "unknown tiktoken vocabulary",
                 .where = where,
                 .expected = "the 128000 ranks of Llama 3",
                 .found = cat(definition.tokens.size())});
  }
  definition.pre_tokenizer = named_pretokenizer("llama-bpe", where);
  std::vector<std::string> names = {"<|begin_of_text|>",
                                    "<|end_of_text|>",
                                    "<|reserved_special_token_0|>",
                                    "<|reserved_special_token_1|>",
                                    "<|reserved_special_token_2|>",
                                    "<|reserved_special_token_3|>",
                                    "<|start_header_id|>",
                                    "<|end_header_id|>",
                                    "<|reserved_special_token_4|>",
                                    "<|eot_id|>"};
  for (int i = 5; names.size() < 256; ++i) names.push_back(cat("<|reserved_special_token_", i, "|>"));
  for (size_t i = 0; i < names.size(); ++i) definition.specials.push_back({names[i], static_cast<int64_t>(128000 + i)});
  auto tokenizer = std::make_unique<BpeTokenizer>(std::move(definition), where);
  tokenizer->bos_id = 128000;
  tokenizer->eos_id = 128001;
  tokenizer->end_ids = {128001, 128009};
  tokenizer->adds_bos = true;
  return tokenizer;
}

TokenizerPointer load_model_file(const fs::path& path) {
  const MappedFile file(path);
  const bool protobuf = file.size() > 0 && file.view()[0] == '\n';  // field 1 of a SentencePiece ModelProto
  auto tokenizer =
      protobuf ? make_sentencepiece(file.view(), path.string()) : load_tiktoken(file.view(), path.string());
  read_neighbours(path.parent_path(), *tokenizer);
  return tokenizer;
}

TokenizerPointer load_folder(const fs::path& folder) {
  if (fs::exists(folder / "tokenizer.json")) return load_tokenizer_json(folder / "tokenizer.json");
  if (fs::exists(folder / "vocab.json") && fs::exists(folder / "merges.txt")) return load_vocab_and_merges(folder);
  if (fs::exists(folder / "tokenizer.model")) return load_model_file(folder / "tokenizer.model");
  throw Error({.what = "no tokenizer in this folder",
               .where = folder.string(),
               .expected = "tokenizer.json, vocab.json with merges.txt, or tokenizer.model"});
}

}  // namespace

std::unique_ptr<Tokenizer> load_tokenizer(const fs::path& path) {
  if (!fs::exists(path)) throw Error({.what = "no such file or folder", .where = path.string()});
  try {
    if (fs::is_directory(path)) return load_folder(path);
    if (path.filename() == "vocab.json" || path.filename() == "merges.txt")
      return load_vocab_and_merges(path.parent_path());
    if (path.extension() == ".json") return load_tokenizer_json(path);
    if (path.extension() == ".gguf") return load_gguf_tokenizer(path);
    return load_model_file(path);
  } catch (const nlohmann::json::exception& e) {  // a part of the wrong JSON type
    throw Error({.what = "a part of the tokenizer has the wrong type",
                 .where = path.string(),
                 .found = excerpt(e.what(), 160)});
  }
}

}  // namespace precis

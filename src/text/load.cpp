#include <algorithm>

#include "precis/core/error.h"
#include "precis/core/file.h"
#include "precis/core/log.h"
#include "precis/core/strings.h"
#include "readers.h"
#include "sentencepiece.h"
#include "tokenizer_json.h"

namespace precis {
namespace fs = std::filesystem;
namespace {

using TokenizerPointer = std::unique_ptr<Tokenizer>;

LargeJson read_if_there(const fs::path& path) { return fs::exists(path) ? read_large_json(path) : LargeJson(); }

// Special ids from the files beside the tokenizer: tokenizer_config.json, config.json and generation_config.json.
void read_neighbours(const fs::path& folder, Tokenizer& tokenizer) {
  const auto id_of = [&](const LargeJson& name) -> int64_t {
    const LargeJson& text = member(name, "content").is_null() ? name : member(name, "content");
    return text.is_string() ? tokenizer.token_id(text.get<std::string>()) : -1;
  };
  if (const LargeJson json = read_if_there(folder / "tokenizer_config.json"); json.is_object()) {
    if (json.contains("bos_token")) tokenizer.bos_id = id_of(json.at("bos_token"));
    if (json.contains("eos_token")) tokenizer.eos_id = id_of(json.at("eos_token"));
    if (json.contains("pad_token")) tokenizer.pad_id = id_of(json.at("pad_token"));
    if (json.contains("add_bos_token") && json.at("add_bos_token").is_boolean())
      tokenizer.adds_bos = json.at("add_bos_token").get<bool>();
  }
  for (const char* name : {"config.json", "generation_config.json"}) {
    const LargeJson json = read_if_there(folder / name);
    const LargeJson& eos = member(json, "eos_token_id");
    const LargeJson ids = eos.is_array() ? eos : LargeJson::array({eos});
    for (const LargeJson& id : ids) {
      if (!id.is_number_integer()) continue;
      if (tokenizer.eos_id < 0) tokenizer.eos_id = id.get<int64_t>();
      tokenizer.end_ids.push_back(id.get<int64_t>());
    }
  }
  complete_end_ids(tokenizer);
  tokenizer.adds_bos = tokenizer.adds_bos && tokenizer.bos_id >= 0;
}

// Tokens that a fine-tune added: added_tokens.json, and added_tokens_decoder of tokenizer_config.json, which says more.
std::vector<AddedToken> tokens_beside(const fs::path& folder) {
  std::vector<AddedToken> out;
  const fs::path config = folder / "tokenizer_config.json", older = folder / "added_tokens.json";
  const LargeJson settings = read_if_there(config), older_tokens = read_if_there(older);
  const auto add = [&](AddedToken token) {
    const auto same = std::find_if(out.begin(), out.end(), [&](const auto& t) { return t.content == token.content; });
    if (same == out.end()) out.push_back(std::move(token));
  };
  for (const auto& [id, item] : member(settings, "added_tokens_decoder").items()) {
    if (id.empty() || id.size() > 8 || id.find_first_not_of("0123456789") != std::string::npos)
      throw Error({.what = "bad id of an added token", .where = config.string(), .found = excerpt(id)});
    AddedToken token = read_added_token(item, config.string());
    token.id = std::stoll(id);
    add(token);
  }
  for (const auto& [content, id] : older_tokens.items()) {
    if (!id.is_number_integer())
      throw Error({.what = "bad id of an added token", .where = older.string(), .found = json_kind(id)});
    add({.content = content, .id = id.get<int64_t>()});
  }
  return out;
}

// A post-processor that prepends a special token (Llama 3) means that the model expects BOS.
void read_post_processor(const LargeJson& json, Tokenizer& tokenizer) {
  if (!json.is_object()) return;
  for (const LargeJson& inner : member(json, "processors")) read_post_processor(inner, tokenizer);
  std::vector<std::string> before, behind;
  if (const LargeJson& cls = member(json, "cls"); cls.is_array() && !cls.empty() && cls[0].is_string())
    before.push_back(cls[0].get<std::string>());
  bool text = false;
  for (const LargeJson& item : member(json, "single")) {
    text = text || item.contains("Sequence");
    if (const LargeJson& token = member(item, "SpecialToken"); !token.is_null())
      (text ? behind : before).push_back(json_get<std::string>(token, "id", "tokenizer.json: post_processor"));
  }
  if (before.size() > 1)
    log::warn(cat("the tokenizer's post-processor puts ", join(before, ", "), " before a text; only the first is BOS"));
  if (!before.empty()) tokenizer.bos_id = tokenizer.token_id(before[0]);
  if (!before.empty()) tokenizer.adds_bos = tokenizer.bos_id >= 0;
  if (!behind.empty() && tokenizer.eos_id < 0) tokenizer.eos_id = tokenizer.token_id(behind[0]);
}

TokenizerPointer load_tokenizer_json(const fs::path& path) {
  const LargeJson json = read_large_json(path);
  Pipeline pipeline = pipeline_from_tokenizer_json(json, path.string());
  for (const AddedToken& token : tokens_beside(path.parent_path())) {
    const auto same = [&](const AddedToken& known) { return known.content == token.content; };
    if (std::none_of(pipeline.added.begin(), pipeline.added.end(), same)) pipeline.added.push_back(token);
  }
  auto tokenizer = make_tokenizer(std::move(pipeline), path.string());
  read_post_processor(member(json, "post_processor"), *tokenizer);
  read_neighbours(path.parent_path(), *tokenizer);
  return tokenizer;
}

// vocab.json + merges.txt do not define the pre-tokenizer; the class or model name in the same folder does.
std::string pre_tokenizer_name(const fs::path& folder) {
  std::string name;
  if (const LargeJson json = read_if_there(folder / "tokenizer_config.json"); json.is_object())
    name = json.value("tokenizer_class", "");
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
  const std::string where = (folder / "vocab.json").string(), merges_path = (folder / "merges.txt").string();
  BpeDefinition definition = read_bpe({{"vocab", read_large_json(folder / "vocab.json")}}, where);
  definition.merges = parse_merges(split(read_file(merges_path), '\n'), merges_path);
  NamedPreTokenizer named = named_pretokenizer(pre_tokenizer_name(folder), where);
  Pipeline pipeline;
  pipeline.pre_tokenizer = std::move(named.pre_tokenizer);
  if (named.nfc) pipeline.normalizer.add_form(Normalizer::Form::nfc);
  pipeline.added = tokens_beside(folder);
  auto tokenizer = make_byte_level(std::move(pipeline), std::move(definition), where);
  read_neighbours(folder, *tokenizer);
  return tokenizer;
}

TokenizerPointer load_model_file(const fs::path& path) {
  const MappedFile file(path);
  const bool protobuf = file.size() > 0 && file.view()[0] == '\n';  // field 1 of a SentencePiece ModelProto
  auto tokenizer = protobuf ? make_sentencepiece(file.view(), tokens_beside(path.parent_path()), path.string())
                            : load_tiktoken(file.view(), path.string());
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

void complete_end_ids(Tokenizer& tokenizer) {
  auto& ends = tokenizer.end_ids;
  const auto add = [&](const char* name) {
    if (const int64_t id = tokenizer.token_id(name); id >= 0) ends.push_back(id);
  };
  if (tokenizer.eos_id >= 0) ends.push_back(tokenizer.eos_id);
  if (tokenizer.token_id("<|return|>") >= 0 && tokenizer.token_id("<|call|>") >= 0) {
    add("<|return|>"), add("<|call|>");  // Harmony (gpt-oss), where <|end|> ends one message of an answer
  } else {
    add("<|end|>");
  }
  for (const char* name : {"<|eot_id|>", "<|eom_id|>", "<|im_end|>", "<end_of_turn>", "<|endoftext|>",
                           "<|end_of_text|>", "<EOT>", "<end_of_utterance>"})
    add(name);
  std::sort(ends.begin(), ends.end());
  ends.erase(std::unique(ends.begin(), ends.end()), ends.end());
}

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

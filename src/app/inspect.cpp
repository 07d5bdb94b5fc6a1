#include <cstdio>

#include "commands.h"
#include "precis/compress/checkpoint.h"
#include "precis/core/error.h"
#include "precis/core/file.h"
#include "precis/core/gguf.h"
#include "precis/core/strings.h"
#include "precis/data/templates.h"
#include "precis/eval/attention_shares.h"
#include "precis/memory/memory_file.h"
#include "precis/model/decoder_config.h"
#include "precis/sweep/sweep.h"
#include "precis/text/tokenizer.h"
#include "precis/weights/dequantize.h"
#include "precis/weights/safetensors.h"

namespace precis {
namespace fs = std::filesystem;
namespace {

Json safetensors_json(const fs::path& path) {
  const SafetensorsFile file(path);
  Json tensors = Json::object();
  int64_t parameters = 0;
  for (const auto& [name, entry] : file.entries()) {
    int64_t count = 1;
    for (const int64_t size : entry.shape) count *= size;
    parameters += count;
    tensors[name] = {{"dtype", c10::toString(entry.dtype)}, {"shape", entry.shape}};
  }
  return {{"kind", "safetensors"}, {"parameters", parameters}, {"metadata", file.metadata()}, {"tensors", tensors}};
}

Json memory_json(const fs::path& path) {
  const MemoryFile file = load_memory(path);
  const Memory& memory = file.memory;
  const int64_t tokens = memory.source_tokens[0].item<int64_t>(), bytes = memory.bytes(0);
  Json out = {{"kind", "memory file"},
              {"entries", memory.entries()},
              {"bytes", bytes},
              {"entries_per_source_token", static_cast<double>(memory.entries()) / static_cast<double>(tokens)},
              {"bytes_per_source_token", static_cast<double>(bytes) / static_cast<double>(tokens)},
              {"documents", memory.documents ? memory.documents->tokens.size(1) : 1}};
  const SafetensorsFile raw(path);
  for (const auto& [key, value] : raw.metadata()) out[key] = value;
  return out;
}

bool is_memory_file(const fs::path& path) {
  const SafetensorsFile file(path);
  const auto format = file.metadata().find("format");
  return format != file.metadata().end() && format->second == "precis-memory";
}

Json decoder_json(const DecoderConfig& c) {
  return {{"family", c.family},
          {"parameters", c.parameters()},
          {"layers", c.layers},
          {"hidden", c.hidden},
          {"intermediate", c.intermediate},
          {"heads", c.heads},
          {"kv_heads", c.kv_heads},
          {"head_dim", c.head_dim},
          {"vocabulary", c.vocabulary},
          {"max_positions", c.max_positions},
          {"rope_theta", c.ropes.front().theta},
          {"rope_scaling", c.ropes.front().scaling.type},
          {"tied_embeddings", c.tied_embeddings}};
}

Json tokenizer_json(const fs::path& path) {
  const auto t = load_tokenizer(path);
  return {{"kind", t->kind()},     {"vocabulary", t->vocabulary_size()},
          {"bos_id", t->bos_id},   {"eos_id", t->eos_id},
          {"pad_id", t->pad_id},   {"adds_bos", t->adds_bos},
          {"end_ids", t->end_ids}, {"special_tokens", t->special_tokens().size()},
          {"hash", t->hash()}};
}

// The chat template beside a tokenizer: chat_template.jinja, or a string or list in tokenizer_config.json.
std::string chat_template_in(const fs::path& folder) {
  if (fs::exists(folder / "chat_template.jinja")) return read_file(folder / "chat_template.jinja");
  const fs::path path = folder / "tokenizer_config.json";
  if (!fs::exists(path)) return "";
  const LargeJson json = read_large_json(path);
  if (!json.contains("chat_template")) return "";
  const LargeJson& found = json.at("chat_template");
  if (found.is_string()) return found.get<std::string>();
  for (const LargeJson& one : found) {
    if (one.is_object() && one.value("name", "") == "default") return one.value("template", "");
  }
  return "";
}

// The ready configuration for a chat template, or that there is none.
Json chat_json(const std::string& jinja) {
  if (jinja.empty()) return nullptr;
  const std::string file = chat_template_file(jinja);
  return file.empty() ? "no configuration in configs/templates has this form" : "configs/templates/" + file;
}

Json gguf_json(const fs::path& path) {
  const GgufFile file(path);
  std::map<std::string, int64_t> types;
  for (const auto& [name, tensor] : file.tensors()) ++types[gguf_type_name(tensor.type)];
  return {
      {"kind", "GGUF"},
      {"decoder", decoder_json(decoder_config_from_gguf(file))},
      {"tensor_types", types},
      {"tokenizer", tokenizer_json(path)},
      {"chat_template", chat_json(file.has("tokenizer.chat_template") ? file.text("tokenizer.chat_template") : "")}};
}

Json run_json(const fs::path& path) {
  Json out = {
      {"kind", "run folder"},
      {"config", json_get<Json>(read_json(path / "config.json"), "compressor", (path / "config.json").string())},
      {"finished", fs::exists(path / "compressor" / "compressor.json")}};
  Json checkpoints = Json::array();
  if (fs::exists(path / "checkpoints")) {
    for (const auto& entry : fs::directory_iterator(path / "checkpoints"))
      checkpoints.push_back(entry.path().filename().string());
  }
  out["checkpoints"] = checkpoints;
  if (out["finished"]) out["compressor"] = read_json(path / "compressor" / "compressor.json");
  return out;
}

Json corpus_json(const fs::path& path) {
  Json out = read_json(path / "manifest.json");
  out["kind"] = "prepared corpus";
  return out;
}

// A sweep's finished cells with the scores of their rows.
Json sweep_json(const fs::path& path) {
  Json cells = Json::object();
  for (const Json& result : read_sweep_results(path)) {
    const std::string where = (path / "results.jsonl").string();
    const Json row = json_get<Json>(result, "row", where), tasks = json_get<Json>(row, "tasks", where);
    Json scores = Json::object();
    for (const auto& [task, values] : tasks.items()) {
      const Json measures = json_get<Json>(values, "measures", where);
      for (const auto& [measure, value] : measures.items())
        scores[task][measure] = json_get<Json>(value, "value", where);
    }
    cells[json_get<std::string>(result, "cell", where)][json_get<std::string>(row, "name", where)] = scores;
  }
  return {{"kind", "sweep"}, {"cells", cells}};
}

Json folder_json(const fs::path& path) {
  if (fs::exists(path / "manifest.json")) return corpus_json(path);
  if (fs::exists(path / "results.jsonl")) return sweep_json(path);
  if (fs::exists(path / "compressor.json")) {
    Json out = read_json(path / "compressor.json");
    out["kind"] = "exported compressor";
    return out;
  }
  const bool trained = fs::exists(path / "checkpoints") || fs::exists(path / "compressor");
  if (fs::exists(path / "config.json") && trained) return run_json(path);
  Json out = {{"kind", "model folder"}};
  if (fs::exists(path / "config.json"))
    out["decoder"] = decoder_json(
        decoder_config_from_hugging_face(read_json(path / "config.json"), (path / "config.json").string()));
  const bool has_tokenizer =
      fs::exists(path / "tokenizer.json") || fs::exists(path / "vocab.json") || fs::exists(path / "tokenizer.model");
  if (has_tokenizer) {
    out["tokenizer"] = tokenizer_json(path);
    out["chat_template"] = chat_json(chat_template_in(path));
  }
  if (out.size() == 1)
    throw Error(
        {.what = "unknown kind of folder",
         .where = path.string(),
         .expected = "a run folder, an exported compressor, a prepared corpus, a sweep, a model or a tokenizer"});
  return out;
}

}  // namespace

void run_inspect(const std::string& text, bool json) {
  const fs::path path(text);
  if (!fs::exists(path)) throw Error({.what = "no such file or folder", .where = text});
  const Json found = fs::is_directory(path) ? folder_json(path)
                     : path.extension() == ".safetensors"
                         ? (is_memory_file(path) ? memory_json(path) : safetensors_json(path))
                     : path.extension() == ".gguf" ? gguf_json(path)
                                                   : tokenizer_json(path);
  std::printf("%s\n", found.dump(json ? -1 : 2).c_str());
}

void run_attention(const AttentionCommand& c, const CompressorRegistry& registry) {
  OpenRun run = open_run(c.run, registry);
  if (c.untrained) {
    run.compressor =
        registry.make(run.compressor->config(),
                      surroundings_of(run.decoder, *run.tokenizer, static_cast<uint64_t>(run.config.run.seed)));
    run.compressor->eval();
  }
  const TokenIds ids =
      context_ids(*run.tokenizer, run.config.data, trim(read_file(c.text)), run.compressor->context_begins_with_bos());
  const Json layers = attention_shares(*run.compressor, token_batch({ids}));
  if (c.json) return void(std::printf("%s\n", layers.dump().c_str()));
  std::printf("layer  own chunk  other text  prefix  itself  other memory   (%% of a memory row's attention)\n");
  for (size_t i = 0; i < layers.size(); ++i) {
    const auto of = [&](const char* part) { return layers[i].at(part).get<double>(); };
    std::printf("%5zu %10.1f %11.1f %7.1f %7.1f %13.1f\n", i, of("own_chunk"), of("other_text"), of("prefix"),
                of("itself"), of("other_memory"));
  }
}

}  // namespace precis

#include "precis/compress/checkpoint.h"

#include <torch/types.h>

#include <algorithm>

#include "precis/compress/made_by.h"
#include "precis/config/schema.h"
#include "precis/core/error.h"
#include "precis/core/strings.h"

namespace precis {
namespace fs = std::filesystem;
namespace {

constexpr int format_version = 1;

}  // namespace

TensorMap trained_tensors(const Compressor& compressor) {
  TensorMap out;
  for (const auto& parameter : compressor.named_parameters()) out[parameter.key()] = parameter.value();
  return out;
}

void copy_tensors(const TensorMap& own, const TensorMap& tensors, const std::string& owner, const std::string& where) {
  std::vector<std::string> problems;
  for (const auto& [name, tensor] : own) {
    const auto given = tensors.find(name);
    if (given == tensors.end()) {
      problems.push_back(name + " is missing");
    } else if (given->second.sizes() != tensor.sizes()) {
      problems.push_back(cat(name, " has shape ", given->second.sizes(), ", expected ", tensor.sizes()));
    }
  }
  for (const auto& [name, tensor] : tensors) {
    if (own.count(name) == 0) problems.push_back(excerpt(name) + " is unknown");
  }
  if (!problems.empty()) {
    const size_t count = problems.size();
    if (count > 8) problems.resize(8);
    throw Error({.what = cat(count, " tensors do not fit ", owner, ": ", join(problems, "; ")), .where = where});
  }
  const at::NoGradGuard no_gradient;
  for (const auto& [name, tensor] : own) Tensor(tensor).copy_(tensors.at(name));
}

void load_trained_tensors(Compressor& compressor, const TensorMap& tensors, const std::string& where) {
  copy_tensors(trained_tensors(compressor), tensors, "the compressor", where);
}

namespace {

// The tensors of a LoRA set registered as "lora", under PEFT's names. Other tensors may share that prefix.
TensorMap peft_tensors(const Compressor& compressor) {
  TensorMap adapter;
  for (const auto& [name, tensor] : trained_tensors(compressor)) {
    const auto parts = split(name, '.');
    if (parts.size() != 4 || parts[0] != "lora" || (parts[3] != "A" && parts[3] != "B")) continue;
    const char* block =
        parts[2] == "gate_proj" || parts[2] == "up_proj" || parts[2] == "down_proj" ? "mlp" : "self_attn";
    adapter[cat("base_model.model.model.layers.", parts[1], ".", block, ".", parts[2], ".lora_", parts[3], ".weight")] =
        tensor;
  }
  return adapter;
}

}  // namespace

void save_peft_adapter(const fs::path& folder, const Compressor& compressor) {
  const TensorMap adapter = peft_tensors(compressor);
  if (adapter.empty())
    throw Error({.what = "this compressor has no adapters", .where = "compressor.lora.rank", .found = "0"});
  const LoraConfig& lora = compressor.config().lora;
  write_safetensors(folder / "adapter_model.safetensors", adapter, {{"format", "pt"}});
  write_json(folder / "adapter_config.json", {{"peft_type", "LORA"},
                                              {"task_type", "CAUSAL_LM"},
                                              {"r", lora.rank},
                                              {"lora_alpha", lora.alpha},
                                              {"lora_dropout", lora.dropout},
                                              {"target_modules", lora.targets},
                                              {"bias", "none"},
                                              {"inference_mode", true}});
}

void write_compressor_json(const fs::path& folder, const Compressor& compressor) {
  const int64_t trained = compressor.trained_parameters(), frozen = compressor.decoder().config().parameters();
  write_json(folder / "compressor.json",
             {{"format_version", format_version},
              {"compressor", to_json(compressor.config())},
              {"base_fingerprint", compressor.decoder().fingerprint()},
              {"tokenizer_hash", compressor.tokenizer_hash()},
              {"compressor_hash", compressor_hash(compressor)},
              {"trained_parameters", trained},
              {"frozen_parameters", frozen},
              {"trained_percent_of_frozen", 100 * static_cast<double>(trained) / static_cast<double>(frozen)}});
}

void save_compressor(const fs::path& folder, const Compressor& compressor) {
  write_safetensors(folder / "compressor.safetensors", trained_tensors(compressor));
  if (!peft_tensors(compressor).empty()) save_peft_adapter(folder, compressor);
  write_compressor_json(folder, compressor);
}

Compressor::Surroundings surroundings_of(std::shared_ptr<const Decoder> decoder, const Tokenizer& tokenizer,
                                         uint64_t seed) {
  return {std::move(decoder), tokenizer.bos_id, tokenizer.adds_bos, tokenizer.hash(), seed, &tokenizer};
}

void require_trained_around(const fs::path& folder, const std::string& base_fingerprint,
                            const std::string& tokenizer_hash) {
  const std::string where = (folder / "compressor.json").string();
  const Json json = read_json(folder / "compressor.json");
  if (const auto version = json_get<int>(json, "format_version", where); version != format_version) {
    throw Error(
        {.what = "unsupported format version", .where = where, .expected = cat(format_version), .found = cat(version)});
  }
  const auto must_equal = [&](const char* key, const char* what, const std::string& ours) {
    const auto theirs = json_get<std::string>(json, key, where);
    if (theirs != ours)
      throw Error({.what = cat("trained with another ", what),
                   .where = where,
                   .expected = ours + " (given now)",
                   .found = theirs + " (trained with)"});
  };
  must_equal("base_fingerprint", "base model", base_fingerprint);
  must_equal("tokenizer_hash", "tokenizer", tokenizer_hash);
}

namespace {

// Before adapters of this rank are allocated in every layer. Some methods have none, whatever the rank.
void require_rank_of(const SafetensorsFile& file, int64_t rank) {
  int64_t longest = 0;
  for (const auto& [name, entry] : file.entries()) {
    if (!name.starts_with("lora.")) continue;
    for (const int64_t size : entry.shape) longest = std::max(longest, size);
  }
  if (longest > 0 && rank > longest)
    throw Error({.what = "the adapters have another rank",
                 .where = file.path(),
                 .expected = cat("an axis of ", rank),
                 .found = cat("at most ", longest)});
}

}  // namespace

std::shared_ptr<Compressor> load_compressor(const fs::path& path, const CompressorRegistry& registry,
                                            std::shared_ptr<const Decoder> decoder, const Tokenizer& tokenizer) {
  const fs::path folder = fs::exists(path / "compressor" / "compressor.json") ? path / "compressor" : path;
  if (!fs::exists(folder / "compressor.json")) {
    throw Error({.what = "no trained compressor here",
                 .where = path.string(),
                 .expected = "a finished run folder or an exported compressor",
                 .hint = fs::exists(path / "checkpoints")
                             ? "this run is not finished: resume it by precis train, or use --checkpoint last"
                             : ""});
  }
  require_trained_around(folder, decoder->fingerprint(), tokenizer.hash());
  const std::string where = (folder / "compressor.json").string();
  const Json json = read_json(folder / "compressor.json");
  const CompressorConfig config =
      compressor_config_from_json(json_get<Json>(json, "compressor", where), where, registry.methods());
  const SafetensorsFile file(folder / "compressor.safetensors");
  require_rank_of(file, config.lora.rank);
  auto compressor = registry.make(config, surroundings_of(std::move(decoder), tokenizer, 1));
  load_trained_tensors(*compressor, file.tensors(), file.path());
  compressor->eval();
  return compressor;
}

}  // namespace precis

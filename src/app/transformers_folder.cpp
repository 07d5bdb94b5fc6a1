#include "transformers_folder.h"

#include <algorithm>

#include "compress.h"  // python/export/compress.py
#include "model_card.h"
#include "precis/compress/checkpoint.h"
#include "precis/core/error.h"
#include "precis/core/file.h"
#include "precis/core/strings.h"
#include "precis/mask/mask_spec.h"
#include "precis/methods/comprexit.h"
#include "precis/methods/sac.h"
#include "precis/text/tokenizer.h"

namespace precis {
namespace fs = std::filesystem;
namespace {

const std::vector<std::string> methods = {"pic", "icae", "500x", "sac", "mean-pool", "comprexit"};

bool is_adapter(const std::string& tensor) { return tensor.starts_with("lora."); }

bool has_adapters(const Compressor& compressor) {
  const TensorMap tensors = trained_tensors(compressor);
  return std::any_of(tensors.begin(), tensors.end(), [](const auto& t) { return is_adapter(t.first); });
}

void require_covered(const Compressor& compressor) {
  const CompressorConfig& c = compressor.config();
  if (std::find(methods.begin(), methods.end(), c.method) == methods.end()) {
    throw Error({.what = "compress.py does not have this method",
                 .where = "compressor.method",
                 .expected = "one of " + join(methods, ", "),
                 .found = c.method});
  }
  if (c.method == "sac" && c.settings.get<SacSettings>().anchor_selection != "uniform") {
    throw Error({.what = "compress.py does not have random anchors",
                 .where = "compressor.sac.anchor_selection",
                 .expected = "uniform",
                 .found = "random"});
  }
  const DecoderConfig& decoder = compressor.decoder().config();
  if ((decoder.fused_qkv || decoder.fused_gate_up) && has_adapters(compressor)) {
    throw Error({.what = "this base model stores several linear layers as one tensor, and PEFT has no such adapters",
                 .where = "compressor.lora",
                 .expected = "another base model",
                 .found = decoder.family});
  }
}

Json mask_json(const MaskSpec& mask) {
  static const char* const to_text[] = {"own_chunk", "up_to", "window", "global"};
  static const char* const to_memory[] = {"causal_all", "own_group", "self_only"};
  return {{"text_scope", mask.text_in_chunks ? "chunk" : "full"},
          {"text_sees_earlier_memory", mask.text_sees_earlier_memory},
          {"memory_to_text", to_text[static_cast<int>(mask.memory_to_text)]},
          {"memory_to_memory", to_memory[static_cast<int>(mask.memory_to_memory)]},
          {"memory_sees_prefix", mask.memory_sees_prefix},
          {"window", mask.window}};
}

// What compress.py reads: presets and "auto" resolved.
Json settings_json(const OpenRun& run, const std::string& base_name) {
  const Compressor& compressor = *run.compressor;
  const CompressorConfig& c = compressor.config();
  const DecoderConfig& decoder = compressor.decoder().config();
  const auto bos = [&](const std::string& setting) {
    return setting == "yes" || (setting == "auto" && run.tokenizer->adds_bos);
  };
  Json out = {{"format", "precis-transformers"},
              {"format_version", 1},
              {"method", c.method},
              {"form", c.form},
              {"ratios", c.ratio.values},
              {"segment_length", c.segment_length},
              {"chunk", c.chunk},
              {"slots", c.slots},
              {"carrier", c.carrier},
              {"positions", c.positions},
              {"layout", c.layout},
              {"mask", mask_json(mask_spec(c.mask))},
              {"memory_rows", c.memory_rows},
              {"memory_markers", c.memory_markers},
              {"projector", c.projector},
              {"encoder_bos", bos(c.encoder_bos)},
              {"decoder_bos", bos(c.decoder_bos)},
              {"context_bos", compressor.context_begins_with_bos()},
              {"bos_id", run.tokenizer->bos_id},
              {"end_ids", run.tokenizer->end_ids},
              {"lora", has_adapters(compressor)
                           ? Json{{"rank", c.lora.rank}, {"alpha", c.lora.alpha}, {"targets", c.lora.targets}}
                           : Json()}};
  const Json all = to_json(c);
  if (all.contains(c.method)) out[c.method] = all.at(c.method);
  out["templates"] = {{"context", run.config.data.context_template},
                      {"query", run.config.data.query_template},
                      {"answer_end", run.config.data.answer_end}};
  out["base_model"] = {{"name", base_name},
                       {"fingerprint", compressor.decoder().fingerprint()},
                       {"tokenizer_hash", compressor.tokenizer_hash()},
                       {"model_type", decoder.family},
                       {"layers", decoder.layers},
                       {"hidden", decoder.hidden},
                       {"kv_heads", decoder.kv_heads},
                       {"head_dim", decoder.head_dim},
                       {"max_positions", decoder.max_positions}};
  return out;
}

}  // namespace

void write_transformers_folder(const fs::path& folder, const OpenRun& run, const ExportCommand& command) {
  require_covered(*run.compressor);
  const std::string base_name = command.base_name.empty() ? last_part(run.config.model.path) : command.base_name;
  const Json settings = settings_json(run, base_name);
  if (!settings.at("lora").is_null()) {
    save_peft_adapter(folder, *run.compressor);
    Json adapter = read_json(folder / "adapter_config.json");
    adapter["base_model_name_or_path"] = base_name;
    write_json(folder / "adapter_config.json", adapter);
  }
  TensorMap others;
  for (const auto& [name, tensor] : trained_tensors(*run.compressor)) {
    if (!is_adapter(name)) others[name] = tensor;
  }
  write_safetensors(folder / "compressor.safetensors", others, {{"format", "pt"}});
  write_json(folder / "compressor.json", settings);
  write_file_atomically(folder / "compress.py", compress_py);
  write_file_atomically(folder / "README.md", model_card(run, command, base_name));
}

}  // namespace precis

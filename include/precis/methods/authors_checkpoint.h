// Import and export of checkpoints of the ComprExIT repository (Jiangnan0522/ComprExIT: its ComprExIT, ICAE,
// 500xCompressor and SAC classes) in the format of `save_pretrained`, and import of PEFT adapters.
#pragma once

#include <filesystem>
#include <set>

#include "precis/compress/compressor.h"
#include "precis/core/json.h"

namespace precis {

// Their name for one of our trained tensors ("gate.q.weight", "lora.0.q_proj.A"), or "" if their class has none.
std::string authors_tensor_name(const std::string& name);

// Whether their class lacks a trained tensor of ours (SAC's [AE] row): an import keeps its initial value.
bool authors_lack(const CompressorConfig& config, const std::string& name);

struct AuthorsCheckpoint {
  CompressorConfig config;  // in our terms
  TensorMap tensors;        // under our names, in our shapes
  Json fields;              // their config.json, unchanged
};

// `folder`: config.json with model.safetensors or its shards. The tensors identify the class. Widths, ranks and counts
// come from shapes, other settings from the fields, missing fields from the method's defaults. Throws Error on unknown
// fields not in `ignore`, unknown or missing tensors, and another base model's weights.
AuthorsCheckpoint read_authors_checkpoint(const std::filesystem::path& folder, const Decoder& decoder,
                                          const CompressorRegistry& registry, const std::set<std::string>& ignore = {});

// Writes `compressor` as such a folder, with `fields` as its config.json (null: made from our settings).
// Throws Error if their class cannot represent it.
void write_authors_checkpoint(const std::filesystem::path& folder, const Compressor& compressor, const Json& fields);

// A PEFT LoRA adapter: its settings and its tensors under our names ("lora.0.q_proj.A"). Throws Error on anything else.
struct PeftAdapter {
  LoraConfig lora;
  TensorMap tensors;
};
PeftAdapter read_peft_adapter(const std::filesystem::path& folder);

}  // namespace precis

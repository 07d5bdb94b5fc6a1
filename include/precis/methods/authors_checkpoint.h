// Checkpoints of the ComprExIT repository (Jiangnan0522/ComprExIT: its ComprExIT, ICAE, 500xCompressor and SAC classes)
// as `save_pretrained` writes them, and PEFT adapters: in both directions, tensor by tensor and field by field.
#pragma once

#include <filesystem>
#include <set>

#include "precis/compress/compressor.h"
#include "precis/core/json.h"

namespace precis {

// Their name of one of our trained tensors ("gate.q.weight", "lora.0.q_proj.A"), or "" if their class has no such one.
std::string authors_tensor_name(const std::string& name);

struct AuthorsCheckpoint {
  CompressorConfig config;  // in our terms
  TensorMap tensors;        // under our names, in our shapes
  Json fields;              // their config.json, unchanged
};

// `folder`: config.json with model.safetensors or its shards. The class is told by its tensors. Widths, ranks and
// counts come from shapes, the other settings from the fields; the method's defaults stand where a field is missing.
// Error that names every unknown field not in `ignore`, every unknown tensor, a missing one, and another base model's
// weights.
AuthorsCheckpoint read_authors_checkpoint(const std::filesystem::path& folder, const Decoder& decoder,
                                          const std::set<std::string>& ignore = {});

// Writes `compressor` as such a folder, with `fields` for its config.json (null: made from our settings).
// Error where their class cannot hold it.
void write_authors_checkpoint(const std::filesystem::path& folder, const Compressor& compressor, const Json& fields);

// A PEFT LoRA adapter: its settings and its tensors under our names ("lora.0.q_proj.A"). Error on anything else in it.
struct PeftAdapter {
  LoraConfig lora;
  TensorMap tensors;
};
PeftAdapter read_peft_adapter(const std::filesystem::path& folder);

}  // namespace precis

#include "precis/methods/authors_checkpoint.h"

#include <torch/types.h>

#include <algorithm>
#include <cmath>

#include "precis/compress/checkpoint.h"
#include "precis/core/error.h"
#include "precis/core/strings.h"
#include "precis/methods/comprexit.h"
#include "precis/methods/sac.h"

namespace precis {
namespace fs = std::filesystem;
namespace {

const std::vector<std::pair<std::string, std::string>> tensor_names = {
    {"gate.mix_logits", "pooling_layer.query_fusion_weights"},
    {"gate.layer_embedding", "pooling_layer.layer_fusion_layer_embeddings"},
    {"gate.q.", "pooling_layer.layer_fusion_q_prj."},
    {"gate.k.", "pooling_layer.layer_fusion_k_prj."},
    {"gate.v.", "pooling_layer.layer_fusion_v_prj."},
    {"cost.norm.", "pooling_layer.metric_ln."},
    {"cost.proj.", "pooling_layer.metric_prj."},
    {"mass.norm.", "pooling_layer.source_mass.ln."},
    {"mass.proj.", "pooling_layer.source_mass.mass_prj."},
    {"value.norm.", "pooling_layer.value_ln."},
    {"value.proj.", "pooling_layer.value_prj."},
    {"projector.0.", "projector.mlp.0."},
    {"projector.1.", "projector.mlp.2."},
    {"memory_rows", "memory_embeddings"},
    {"anchor_rows", "role_tokens"},
    {"lm_row", "lm_special_token"}};

bool in_mlp(const std::string& linear) { return linear == "gate_proj" || linear == "up_proj" || linear == "down_proj"; }

// "layers.0.self_attn.q_proj.lora_A" for "lora.0.q_proj.A", "" for anything else.
std::string adapter_name(const std::string& name) {
  const auto parts = split(name, '.');
  if (parts.size() != 4 || parts[0] != "lora") return "";
  return cat("layers.", parts[1], in_mlp(parts[2]) ? ".mlp." : ".self_attn.", parts[2], ".lora_", parts[3]);
}

// The inverse; `end`: the suffix after "lora_A".
std::string name_of_adapter(const std::string& theirs, const std::string& end) {
  const size_t start = theirs.find("layers.");
  if (start == std::string::npos || !theirs.ends_with(end)) return "";
  const auto parts = split(std::string_view(theirs).substr(start, theirs.size() - start - end.size()), '.');
  if (parts.size() != 5 || !parts[4].starts_with("lora_")) return "";
  const std::string name = cat("lora.", parts[1], '.', parts[3], '.', parts[4].substr(5));
  return adapter_name(name) == join(parts, ".") ? name : "";
}

// A weight of the frozen base model, under any prefix.
bool is_base_weight(const std::string& name) {
  static const std::vector<std::string_view> ends = {
      "_proj.weight", "_proj.bias",          "_proj.base_layer.weight", "_proj.base_layer.bias", "layernorm.weight",
      "_norm.weight", "embed_tokens.weight", "lm_head.weight",          "backbone.norm.weight",  "model.norm.weight"};
  return ends_with_any(name, ends) && !name.starts_with("pooling_layer.") && !name.starts_with("projector.");
}

std::string method_of(const std::set<std::string>& names, const std::string& where) {
  if (names.count("pooling_layer.query_fusion_weights")) return "comprexit";
  if (names.count("role_tokens")) return "sac";
  if (names.count("memory_embeddings")) return names.count("ae_embedding") ? "icae" : "500x";
  throw Error({.what = "no compressor of the ComprExIT repository",
               .where = where,
               .expected = "pooling_layer..., role_tokens or memory_embeddings among its tensors",
               .found = cat(names.size(), " other tensors")});
}

// The first size of a tensor that the class must have.
int64_t rows_of(const TensorMap& tensors, const std::string& name, const std::string& where) {
  const auto found = tensors.find(name);
  if (found == tensors.end() || found->second.dim() == 0 || found->second.size(0) == 0)
    throw Error({.what = found == tensors.end() ? "a tensor is missing" : "a tensor has no rows",
                 .where = where,
                 .expected = authors_tensor_name(name)});
  return found->second.size(0);
}

// Sets what the shapes of the tensors determine.
void set_from_shapes(CompressorConfig& c, const TensorMap& tensors, const Decoder& decoder, const std::string& where) {
  if (c.method == "comprexit") {
    auto& own = c.settings.get<ComprexitSettings>();
    own.gate_width = rows_of(tensors, "gate.q.weight", where);
    own.metric_width = rows_of(tensors, "cost.proj.weight", where);
    const int64_t states = rows_of(tensors, "gate.mix_logits", where);
    own.top_k_layers = states == decoder.config().layers + 1 ? -1 : states - 1;
    c.projector = tensors.count("projector.0.weight") ? "mlp" : "none";
    return;
  }
  if (c.method != "sac") c.slots = c.memory_row_count = rows_of(tensors, "memory_rows", where);
  std::set<std::string> targets;
  for (const auto& [name, tensor] : tensors) {
    if (!name.starts_with("lora.")) continue;
    targets.insert(split(name, '.')[2]);
    if (name.ends_with(".A")) c.lora.rank = tensor.size(0);
  }
  c.lora.targets.clear();
  for (const auto& shape : decoder.linear_shapes()) {
    if (targets.count(shape.name)) c.lora.targets.push_back(shape.name);
  }
}

// Sets what their fields determine. Every field is mapped, known to have no effect here, or reported.
void set_from_fields(CompressorConfig& c, const Json& fields, const std::set<std::string>& ignore,
                     const std::string& where) {
  const auto must_be = [&](const char* key, const Json& value, const Json& expected) {
    if (value != expected)
      throw Error({.what = cat("unsupported setting: ", key),
                   .where = where,
                   .expected = expected.dump(),
                   .found = value.dump()});
  };
  using Setter = std::function<void(const Json&)>;
  const Setter nothing = [](const Json&) {};
  std::map<std::string, Setter> known;
  for (const char* key :
       {"lm_name_or_path", "attn_implementation", "dtype", "torch_dtype", "backbone_config_dict",
        "training_freezing_mode", "architectures", "model_type", "transformers_version", "_name_or_path", "auto_map"})
    known[key] = nothing;
  if (c.method == "comprexit") {
    known["pooling_method"] = [&](const Json& v) { must_be("pooling_method", v, "ot-dy-src"); };
    known["lora_compressor"] = [&](const Json& v) { must_be("lora_compressor", v, false); };
    known["compression_ratio"] = [&](const Json& v) { c.ratio = v.get<int64_t>(); };
    known["context_length"] = [&](const Json& v) { c.segment_length = v; };
  } else if (c.method == "sac") {
    known["compress_ratio"] = [&](const Json& v) { c.ratio = v.get<int64_t>(); };
    known["chunk_size"] = [&](const Json& v) { c.segment_length = v; };
    known["mem_size"] = nothing;  // the rows of role_tokens
    known["context_length"] = nothing;
  } else {
    known["num_memory_tokens"] = nothing;  // the rows of memory_embeddings
    known["compression_ratio"] = nothing;  // for a pooling layer that these classes never call
    known["context_length"] = [&](const Json& v) { c.segment_length = v; };
  }
  if (c.method != "comprexit") {
    known["lora_alpha"] = [&](const Json& v) { c.lora.alpha = v; };
    known["lora_dropout"] = [&](const Json& v) { c.lora.dropout = v; };
  }
  std::vector<std::string> unknown;
  for (const auto& [key, value] : fields.items()) {
    const auto found = known.find(key);
    if (found == known.end()) {
      if (ignore.count(key) == 0) unknown.push_back(cat(key, " = ", excerpt(value.dump(), 40)));
      continue;
    }
    try {
      found->second(value);
    } catch (const Json::exception&) {
      throw Error({.what = "the field " + key + " has the wrong type", .where = where, .found = json_kind(value)});
    }
  }
  if (!unknown.empty()) {
    throw Error({.what = cat(unknown.size(), " unknown fields: ", join(unknown, ", ")),
                 .where = where,
                 .hint = "set the equivalent compressor.KEY=VALUE and list these fields with --ignore"});
  }
  if (c.method == "icae" || c.method == "500x") c.ratio = std::max<int64_t>(1, c.segment_length / c.slots);
}

}  // namespace

std::string authors_tensor_name(const std::string& name) {
  if (name == "ae_row") return "ae_embedding";
  if (const std::string adapter = adapter_name(name); !adapter.empty())
    return cat("compressor.base_model.model.backbone.", adapter, ".default.weight");
  for (const auto& [ours, theirs] : tensor_names) {
    if (name == ours || (ours.ends_with('.') && name.starts_with(ours))) return theirs + name.substr(ours.size());
  }
  return "";
}

AuthorsCheckpoint read_authors_checkpoint(const fs::path& folder, const Decoder& decoder,
                                          const CompressorRegistry& registry, const std::set<std::string>& ignore) {
  const auto checkpoint = open_hugging_face_checkpoint(folder);
  const std::string where = (folder / "config.json").string();
  AuthorsCheckpoint out{.fields = read_json(folder / "config.json")};
  const auto names = checkpoint->names();
  out.config = registry.defaults(method_of(names, folder.string()), "published");
  std::vector<std::string> unknown;
  for (const auto& theirs : names) {
    std::string ours = theirs == "ae_embedding" ? "ae_row" : name_of_adapter(theirs, ".default.weight");
    for (const auto& [own, official] : tensor_names) {
      if (theirs == official || (official.ends_with('.') && theirs.starts_with(official)))
        ours = own + theirs.substr(official.size());
    }
    if (!ours.empty()) {
      const Tensor tensor = checkpoint->tensor(theirs).to(torch::kFloat);
      // Theirs are [1, M, D], [1, 1, D] and [1, D] where ours are [M, D] and [D].
      out.tensors[ours] = ours == "memory_rows"                  ? tensor.squeeze(0)
                          : ours == "ae_row" || ours == "lm_row" ? tensor.flatten()
                                                                 : tensor;
    } else if (is_base_weight(theirs)) {
      const Tensor& ours_table = decoder.embedding_table();
      if (!theirs.ends_with("embed_tokens.weight")) continue;
      const Tensor table = checkpoint->tensor(theirs);
      if (table.sizes() != ours_table.sizes() || !table.to(ours_table.options()).equal(ours_table)) {
        throw Error({.what = "trained with another base model: its embedding table differs",
                     .where = folder.string(),
                     .expected = decoder.fingerprint() + " (given now)"});
      }
    } else {
      unknown.push_back(theirs);
    }
  }
  if (!unknown.empty()) {
    const size_t count = unknown.size();
    unknown.resize(std::min<size_t>(count, 8));
    throw Error({.what = cat(count, " unknown tensors: ", join(unknown, ", ")), .where = folder.string()});
  }
  set_from_shapes(out.config, out.tensors, decoder, folder.string());
  set_from_fields(out.config, out.fields, ignore, where);
  return out;
}

bool authors_lack(const CompressorConfig& config, const std::string& name) {
  return config.method == "sac" && name == "ae_row";
}

void write_authors_checkpoint(const fs::path& folder, const Compressor& compressor, const Json& given) {
  const CompressorConfig& c = compressor.config();
  const auto refuse = [&](const std::string& what, const std::string& found) {
    throw Error({.what = "the ComprExIT repository has no such compressor: " + what,
                 .where = "compressor." + what,
                 .found = found});
  };
  static const std::set<std::string> methods = {"comprexit", "icae", "500x", "sac"};
  if (methods.count(c.method) == 0) refuse("method", c.method);
  if (c.carrier != compressor_defaults(c.method, "published", c.methods).carrier) refuse("carrier", c.carrier);
  if (c.method != "sac" && c.positions != "sequential") refuse("positions", c.positions);
  // Their number of memory tokens is fixed, ours may depend on the segment's length.
  if ((c.method == "icae" || c.method == "500x") && c.slots == 0) refuse("slots", "0 (by the ratio)");
  if (c.method == "icae" && c.projector != "none") refuse("projector", c.projector);
  if (c.method == "comprexit") {
    const double locality = c.settings.get<ComprexitSettings>().locality;
    if (locality != 0) refuse("comprexit.locality", cat(locality));
    if (c.projector == "residual") refuse("projector", c.projector);
  }
  if (c.method == "sac") {
    const std::string& attention = c.settings.get<SacSettings>().attention;
    if (attention != "full") refuse("sac.attention", attention);
  }
  TensorMap tensors;
  for (const auto& [name, tensor] : trained_tensors(compressor)) {
    if (authors_lack(c, name)) continue;
    const std::string theirs = authors_tensor_name(name);
    if (theirs.empty()) refuse("tensor " + name, "");
    tensors[theirs] = name == "memory_rows" ? tensor.unsqueeze(0)
                      : name == "ae_row"    ? tensor.view({1, 1, -1})
                      : name == "lm_row"    ? tensor.unsqueeze(0)
                                            : tensor;
  }
  Json fields = given;
  if (fields.is_null()) {
    fields = {{"context_length", c.segment_length}};
    if (c.method == "comprexit")
      fields.update(
          {{"pooling_method", "ot-dy-src"}, {"compression_ratio", compressor.ratio()}, {"lora_compressor", false}});
    if (c.method == "sac") {
      fields.update({{"compress_ratio", compressor.ratio()},
                     {"chunk_size", c.segment_length},
                     {"mem_size", compressor.entries_of(c.segment_length)}});
    }
    if (c.method == "icae" || c.method == "500x") fields["num_memory_tokens"] = tensors.at("memory_embeddings").size(1);
    if (c.method != "comprexit") fields.update({{"lora_alpha", c.lora.alpha}, {"lora_dropout", c.lora.dropout}});
  }
  write_safetensors(folder / "model.safetensors", tensors, {{"format", "pt"}});
  write_json(folder / "config.json", fields);
}

namespace {

// Settings of a PEFT adapter that change what its tensors mean, beyond one rank and scale for all layers.
void refuse_other_adapters(const Json& json, const std::string& where) {
  const auto refuse = [&](const std::string& key, const Json& value, const char* expected) {
    throw Error({.what = "unsupported kind of LoRA: " + key,
                 .where = where,
                 .expected = expected,
                 .found = excerpt(value.dump())});
  };
  for (const auto& [key, value] : json.items()) {
    const bool unset = value.is_null() || value == false || (value.is_structured() && value.empty());
    if (key == "use_dora" || key == "fan_in_fan_out" || key == "lora_bias" || key == "use_qalora" ||
        key == "use_bdlora") {
      if (!unset) refuse(key, value, "false");
    } else if (key == "rank_pattern" || key == "alpha_pattern" || key == "modules_to_save" ||
               key == "trainable_token_indices" || key == "target_parameters" || key == "layer_replication" ||
               key == "megatron_config" || key == "alora_invocation_tokens" || key == "arrow_config") {
      if (!unset) refuse(key, value, "none");
    } else if (key == "bias") {
      if (value != "none") refuse(key, value, "none");
    } else if (key == "init_lora_weights" && value.is_string()) {
      // These move part of the base weights into the adapter: around the plain base model its output is another.
      static const std::vector<std::string> changing = {"pissa", "olora", "loftq", "corda", "eva"};
      const std::string name = value.get<std::string>();
      for (const auto& kind : changing) {
        if (name.starts_with(kind)) refuse(key, value, "an initialisation that keeps the base weights");
      }
    }
  }
}

}  // namespace

PeftAdapter read_peft_adapter(const fs::path& folder) {
  const std::string where = (folder / "adapter_config.json").string();
  const Json json = read_json(folder / "adapter_config.json");
  if (json_get<std::string>(json, "peft_type", where) != "LORA")
    throw Error({.what = "not a LoRA adapter", .where = where, .found = json.at("peft_type").dump()});
  refuse_other_adapters(json, where);
  PeftAdapter out;
  out.lora.rank = json_get<int64_t>(json, "r", where);
  out.lora.alpha = json_get<double>(json, "lora_alpha", where);
  if (json.value("use_rslora", Json(false)) == true)  // scaled by alpha / sqrt(rank)
    out.lora.alpha *= std::sqrt(static_cast<double>(out.lora.rank));
  out.lora.dropout = json_get<double>(json, "lora_dropout", where);
  out.lora.targets = json_get<std::vector<std::string>>(json, "target_modules", where);
  const SafetensorsFile file(folder / "adapter_model.safetensors");
  for (const auto& [name, entry] : file.entries()) {
    const std::string ours = name_of_adapter(name, ".weight");
    if (ours.empty()) throw Error({.what = "unknown tensor " + excerpt(name), .where = file.path()});
    out.tensors[ours] = file.tensor(name);
  }
  return out;
}

}  // namespace precis

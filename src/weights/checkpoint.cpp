#include "precis/weights/checkpoint.h"

#include "precis/core/error.h"
#include "precis/core/hash.h"
#include "precis/core/strings.h"
#include "precis/weights/dequantize.h"

namespace precis {
namespace fs = std::filesystem;

Tensor Checkpoint::tensor(const std::string& name, at::IntArrayRef shape) const {
  Tensor found = tensor(name);
  if (found.sizes() != shape) {
    throw Error({.what = "the tensor has the wrong shape",
                 .where = cat(path(), ": ", name),
                 .expected = cat(shape),
                 .found = cat(found.sizes())});
  }
  return found;
}

namespace {

class HuggingFaceCheckpoint : public Checkpoint {
 public:
  explicit HuggingFaceCheckpoint(const fs::path& folder) : folder_(folder) {
    const fs::path single = folder / "model.safetensors", index = folder / "model.safetensors.index.json";
    if (fs::exists(single)) {
      add_shard(single, nullptr);
    } else if (fs::exists(index)) {
      read_index(index);
    } else {
      const bool pickled =
          fs::exists(folder / "pytorch_model.bin") || fs::exists(folder / "pytorch_model.bin.index.json");
      throw Error(
          {.what = "no weights in this folder",
           .where = folder.string(),
           .expected = "model.safetensors or model.safetensors.index.json",
           .found = pickled ? "pytorch_model.bin, which may run code when it is read" : "",
           .hint = pickled ? "save the model again with transformers: save_pretrained writes safetensors" : ""});
    }
  }

  bool has(const std::string& name) const override { return shard_of_.count(name) > 0; }

  Tensor tensor(const std::string& name) const override {
    const auto found = shard_of_.find(name);
    if (found == shard_of_.end())
      throw Error({.what = "the tensor " + name + " is missing", .where = folder_.string()});
    return shards_[found->second].tensor(name);
  }

  std::set<std::string> names() const override {
    std::set<std::string> out;
    for (const auto& [name, shard] : shard_of_) out.insert(name);
    return out;
  }

  std::string fingerprint() const override {
    Hasher hasher;
    for (const auto& [name, shard] : shard_of_) {
      const Tensor t = shards_[shard].tensor(name);
      hasher.update(cat(name, t.sizes(), t.scalar_type())).update(t.data_ptr(), t.nbytes());
    }
    return hasher.hex();
  }

  std::string path() const override { return folder_.string(); }

 private:
  // `expected`: the names that the index lists for this shard.
  void add_shard(const fs::path& file, const std::set<std::string>* expected) {
    shards_.emplace_back(file);
    for (const auto& [name, entry] : shards_.back().entries()) {
      if (expected != nullptr && expected->count(name) == 0) {
        throw Error({.what = "the shard contains a tensor that the index does not list for it",
                     .where = file.string(),
                     .found = excerpt(name)});
      }
      if (!shard_of_.emplace(name, shards_.size() - 1).second)
        throw Error({.what = "a tensor is in two shards", .where = file.string(), .found = excerpt(name)});
    }
    if (expected == nullptr) return;
    for (const auto& name : *expected) {
      if (shards_.back().entries().count(name) == 0)
        throw Error({.what = "the tensor " + excerpt(name) + " is missing", .where = file.string()});
    }
  }

  void read_index(const fs::path& index) {
    const LargeJson map = json_get<LargeJson>(read_large_json(index), "weight_map", index.string());
    if (!map.is_object()) throw Error({.what = "weight_map is not an object", .where = index.string()});
    std::map<std::string, std::set<std::string>> names_by_file;
    for (const auto& [name, file] : map.items()) {
      const std::string text = file.is_string() ? file.get<std::string>() : "";
      if (text.empty() || text.find('/') != std::string::npos) {
        throw Error({.what = "bad shard name",
                     .where = index.string(),
                     .expected = "the name of a file in the same folder",
                     .found = json_kind(file)});
      }
      names_by_file[text].insert(name);
    }
    for (const auto& [file, names] : names_by_file) add_shard(folder_ / file, &names);
  }

  fs::path folder_;
  std::vector<SafetensorsFile> shards_;
  std::map<std::string, size_t> shard_of_;
};

// The name in a decoder alone of a tensor of a model with vision; "" for one of another part. Folders name the decoder
// language_model.model (transformers up to 4.51, and still when saving) or model.language_model.
std::string name_in_text_part(const std::string& name) {
  constexpr std::string_view outer = "language_model.", inner = "model.language_model.";
  if (name.starts_with(outer)) return name.substr(outer.size());
  if (name.starts_with(inner)) return "model." + name.substr(inner.size());
  return name == "lm_head.weight" ? name : "";
}

class TextPart : public Checkpoint {
 public:
  explicit TextPart(std::unique_ptr<Checkpoint> whole) : whole_(std::move(whole)) {
    for (const auto& name : whole_->names()) {
      if (const std::string own = name_in_text_part(name); !own.empty()) stored_[own] = name;
    }
  }
  bool has(const std::string& name) const override { return stored_.count(name) > 0; }
  Tensor tensor(const std::string& name) const override {
    const auto found = stored_.find(name);
    return whole_->tensor(found == stored_.end() ? name : found->second);  // the error of a missing one is the whole's
  }
  std::set<std::string> names() const override {
    std::set<std::string> out;
    for (const auto& [name, stored] : stored_) out.insert(name);
    return out;
  }
  std::string fingerprint() const override { return whole_->fingerprint(); }
  std::string path() const override { return whole_->path(); }

 private:
  std::unique_ptr<Checkpoint> whole_;
  std::map<std::string, std::string> stored_;
};

// Hugging Face name <-> GGUF name of a layer's linears and head norms. One table for all families.
constexpr std::pair<const char*, const char*> names_of_layer[] = {
    {"self_attn.q_proj", "attn_q"},      {"self_attn.k_proj", "attn_k"},      {"self_attn.v_proj", "attn_v"},
    {"self_attn.qkv_proj", "attn_qkv"},  {"self_attn.o_proj", "attn_output"}, {"self_attn.q_norm", "attn_q_norm"},
    {"self_attn.k_norm", "attn_k_norm"}, {"mlp.gate_proj", "ffn_gate"},       {"mlp.up_proj", "ffn_up"},
    {"mlp.down_proj", "ffn_down"}};
constexpr std::pair<const char*, const char*> names_outside_layers[] = {
    {"model.embed_tokens", "token_embd"}, {"model.norm", "output_norm"}, {"lm_head", "output"}};

std::string name_in_layer(const std::string& gguf, const GgufLayout& layout) {
  if (gguf == "attn_norm") return layout.norms.attention_in;
  if (gguf == "post_attention_norm") return layout.norms.attention_out;
  if (gguf == "ffn_norm") return layout.norms.mlp_in;
  if (gguf == "post_ffw_norm") return layout.norms.mlp_out;
  if (gguf == "ffn_up" && layout.fused_gate_up) return "mlp.gate_up_proj";
  for (const auto& [hf, name] : names_of_layer) {
    if (gguf == name) return hf;
  }
  return "";
}

// "" for a GGUF tensor that is not a known decoder weight.
std::string hugging_face_name(const std::string& gguf, const GgufLayout& layout) {
  const size_t dot = gguf.rfind('.');
  if (dot == std::string::npos) return "";
  const std::string stem = gguf.substr(0, dot), suffix = gguf.substr(dot);
  for (const auto& [hf, name] : names_outside_layers) {
    if (stem == name) return hf + suffix;
  }
  if (!stem.starts_with("blk.")) return "";
  const size_t after = stem.find('.', 4);
  if (after == std::string::npos) return "";
  const std::string own = name_in_layer(stem.substr(after + 1), layout);
  return own.empty() ? "" : cat("model.layers.", stem.substr(4, after - 4), ".", own, suffix);
}

// Factors of the rotary frequencies; DecoderConfig has them.
bool is_rope_factor(const std::string& name) {
  return name == "rope_freqs.weight" || name == "rope_factors_long.weight" || name == "rope_factors_short.weight";
}

class GgufCheckpoint : public Checkpoint {
 public:
  GgufCheckpoint(const fs::path& file, GgufLayout layout) : file_(file), layout_(std::move(layout)) {
    for (const auto& [name, tensor] : file_.tensors()) {
      if (is_rope_factor(name)) continue;
      const std::string hf = hugging_face_name(name, layout_);
      gguf_name_[hf.empty() ? name : hf] = name;
    }
  }

  bool has(const std::string& name) const override { return gguf_name_.count(name) > 0; }

  Tensor tensor(const std::string& name) const override {
    const auto found = gguf_name_.find(name);
    if (found == gguf_name_.end()) throw Error({.what = "the tensor " + name + " is missing", .where = path()});
    const Tensor t = dequantize(file_, found->second);
    if (!layout_.interleaved) return t;
    if (name.find(".q_proj.") != std::string::npos) return half_split(t, layout_.heads, name);
    if (name.find(".k_proj.") != std::string::npos) return half_split(t, layout_.kv_heads, name);
    return t;
  }

  std::set<std::string> names() const override {
    std::set<std::string> out;
    for (const auto& [name, gguf] : gguf_name_) out.insert(name);
    return out;
  }

  std::string fingerprint() const override {
    Hasher hasher;
    for (const auto& part : file_.parts()) hasher.update(part->view());
    return hasher.hex();
  }

  std::string path() const override { return file_.path(); }

 private:
  // Rows of head h: (2j + s) in the file, (s d/2 + j) for half-split RoPE.
  Tensor half_split(const Tensor& t, int64_t heads, const std::string& name) const {
    if (t.size(0) % (2 * heads) != 0) {
      throw Error({.what = "the number of rows is not a multiple of the number of heads",
                   .where = cat(path(), ": ", name),
                   .found = cat(t.sizes())});
    }
    const int64_t half = t.size(0) / heads / 2;
    return t.reshape({heads, half, 2, -1}).transpose(1, 2).reshape(t.sizes()).contiguous();
  }

  GgufFile file_;
  GgufLayout layout_;
  std::map<std::string, std::string> gguf_name_;
};

}  // namespace

std::unique_ptr<Checkpoint> open_hugging_face_checkpoint(const fs::path& folder) {
  return std::make_unique<HuggingFaceCheckpoint>(folder);
}

std::unique_ptr<Checkpoint> text_part(std::unique_ptr<Checkpoint> whole) {
  return std::make_unique<TextPart>(std::move(whole));
}

std::unique_ptr<Checkpoint> open_gguf_checkpoint(const fs::path& file, GgufLayout layout) {
  return std::make_unique<GgufCheckpoint>(file, std::move(layout));
}

}  // namespace precis

// A base model's weights under one set of names, from Hugging Face safetensors (one file or shards) or a GGUF file.
// Reading is strict: a missing, extra or mis-shaped tensor is an error with its name.
#pragma once

#include <memory>
#include <set>
#include <string>

#include "precis/core/json.h"
#include "precis/weights/safetensors.h"

namespace precis {

// The source of a decoder's tensors. Names are Hugging Face's ("model.layers.0.self_attn.q_proj.weight").
class Checkpoint {
 public:
  virtual ~Checkpoint() = default;
  virtual bool has(const std::string& name) const = 0;
  virtual Tensor tensor(const std::string& name) const = 0;  // CPU; a view of the file if possible
  virtual std::set<std::string> names() const = 0;
  virtual std::string fingerprint() const = 0;  // of all weights; the same file always gives the same text
  virtual std::string path() const = 0;

  // The tensor, checked against its expected shape.
  Tensor tensor(const std::string& name, at::IntArrayRef shape) const;
};

// `folder` holds model.safetensors, or model.safetensors.index.json with its shards.
std::unique_ptr<Checkpoint> open_hugging_face_checkpoint(const std::filesystem::path& folder);

// The text decoder of a model that also reads images: without the tensors of the vision tower and its projector, under
// the names of a decoder alone.
std::unique_ptr<Checkpoint> text_part(std::unique_ptr<Checkpoint> whole);

// Where a layer's RMSNorms stand, by Hugging Face's names; "": none there.
struct NormNames {
  std::string attention_in, attention_out, mlp_in, mlp_out;  // before and after attention and feed-forward
};
inline const NormNames pre_norms = {"input_layernorm", "", "post_attention_layernorm", ""};
inline const NormNames post_norms = {"", "post_attention_layernorm", "", "post_feedforward_layernorm"};
inline const NormNames pre_and_post_norms = {"input_layernorm", "post_attention_layernorm", "pre_feedforward_layernorm",
                                             "post_feedforward_layernorm"};

// How a decoder's tensors are stored in a GGUF file.
struct GgufLayout {
  int64_t heads, kv_heads;
  // llama.cpp rotates interleaved pairs in some architectures (llama, which includes Mistral, and smollm3). The rows of
  // q and k are reordered to Hugging Face's half-split order here.
  bool interleaved = false;
  bool fused_gate_up = false;  // ffn_up holds gate and up
  NormNames norms = pre_norms;
};
std::unique_ptr<Checkpoint> open_gguf_checkpoint(const std::filesystem::path& file, GgufLayout layout);

}  // namespace precis

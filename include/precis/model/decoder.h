// The frozen decoder: Llama, Mistral, Qwen2 and Qwen3 (methods.md section 1). Its weights exist once and are no
// parameters of any module, so no optimiser can reach them; a LoRA set passed to an encoder pass makes it the encoder.
#pragma once

#include <filesystem>
#include <memory>
#include <optional>

#include "precis/model/decoder_config.h"
#include "precis/model/kv_cache.h"
#include "precis/model/row_decoder.h"
#include "precis/nn/attention.h"
#include "precis/nn/lora.h"
#include "precis/weights/checkpoint.h"
#include "precis/weights/weight_pool.h"

namespace precis {

// What the plain decoder reads: rows in place of tokens, perhaps behind a past.
struct DecoderInput {
  Tensor rows;          // [B, T, D], right-padded
  Tensor lengths;       // int64 [B]: rows that count
  Tensor position_ids;  // int64 [B, T]
  Tensor labels;        // int64 [B, T]: the token each row has to predict, -100 for none; undefined for generation
  std::optional<PastKeyValues> past;
};

// A pass over rows under a given plan, with the adapters if `lora` is set.
struct EncoderPass {
  Tensor rows;          // [B, S, D]
  Tensor position_ids;  // int64 [B, S]
  AttentionPlan plan;
  const LoraSet* lora = nullptr;
};

class Decoder {
 public:
  // Reads every tensor of the family from the checkpoint, strictly. `dtype`: fp32 or bf16.
  // `decode_dtype`: what RowWeights keep, where it differs from `dtype` a copy of its own.
  Decoder(DecoderConfig config, const Checkpoint& checkpoint, at::ScalarType dtype, at::Device device,
          std::optional<at::ScalarType> decode_dtype = std::nullopt);

  // A decoder without weights, for plans: a compressor can be built around it and counted, not run.
  static std::shared_ptr<const Decoder> shape_only(DecoderConfig config);

  const DecoderConfig& config() const { return config_; }
  at::ScalarType dtype() const { return dtype_; }
  at::Device device() const { return device_; }
  const std::string& fingerprint() const { return fingerprint_; }  // of the checkpoint's bytes
  const Tensor& embedding_table() const { return embedding_; }     // [V, D]
  const Tensor& classifier() const { return classifier_; }         // [V, D]; the embedding table where tied
  std::vector<LoraTarget> linear_shapes() const;                   // every linear that LoRA can adapt

  Tensor embed(const Tensor& ids) const;  // int64 [...] to [..., D]

  // Final hidden rows [B, T, D] (after the last norm), causal. With `cache`, the rows stand behind what it holds and
  // their keys and values are added to it (inference only); else behind `input.past`.
  Tensor hidden(const DecoderInput& input, KvCache* cache = nullptr) const;

  // Final hidden rows of an encoder pass, from `first_row` on: [B, S - first_row, D]. The last layer computes no
  // others.
  Tensor encode(const EncoderPass& pass, int64_t first_row = 0) const;

  // Rotated keys and values of the rows `index` (int64 [B, A]) in every layer; the last layer computes nothing else.
  std::vector<LayerKv> encode_keys_values(const EncoderPass& pass, const Tensor& index) const;

  // h^0 ... h^k: the embedding output and k layers' outputs, the last one after the final norm (methods.md section 4).
  std::vector<Tensor> hidden_states(const EncoderPass& pass, int64_t k) const;

  // What each row of a pass attends to in every layer: N of [B, H, S, S], each row sums to 1. The plan is a dense mask;
  // for people who look, not for speed.
  std::vector<Tensor> attention_weights(const EncoderPass& pass) const;

  Tensor logits(const Tensor& rows) const;  // [..., D] to [..., V]

  // What RowDecoder runs on; nullptr where it cannot (on a GPU).
  const RowWeights* row_weights() const { return row_weights_.get(); }

  // Keys [B, K, M, d], rotated or not, rotated on by this many positions (int64 [B, M] or [B, 1], may be negative).
  Tensor rotate_keys(const Tensor& keys, const Tensor& by) const;

 private:
  explicit Decoder(DecoderConfig config);

  struct Layer {
    Tensor input_norm, post_norm, q_norm, k_norm;
    Tensor qkv, qkv_bias, o, o_bias, gate_up, gate_up_bias, down, down_bias;
  };
  struct Heads {
    Tensor q, k, v;  // [B, H or K, S, d], q and k rotated
  };

  std::shared_ptr<const RowWeights> make_row_weights(at::ScalarType dtype) const;
  void load_layer(int64_t index, const Checkpoint& checkpoint, std::set<std::string>& used, WeightPool& pool);
  Heads project(const Layer& layer, int64_t index, const Tensor& x, const RopeTable& rope, const LoraSet* lora) const;
  Tensor finish_layer(const Layer& layer, int64_t index, const Tensor& residual, const Tensor& attended,
                      const LoraSet* lora, const Tensor& into = {}) const;
  // `into`: where the layer's rows are written; without gradients only.
  Tensor run_layer(int64_t index, const Tensor& x, const RopeTable& rope, const AttentionPlan& plan,
                   const LoraSet* lora, const Tensor& into = {}) const;
  Tensor norm(const Tensor& x, const Tensor& weight) const;
  LinearInput normed(const Tensor& x, const Tensor& weight) const;  // what a linear reads behind a norm
  RopeTable rope(const Tensor& position_ids) const;
  void refuse_window(const EncoderPass& pass) const;

  DecoderConfig config_;
  at::ScalarType dtype_;
  at::Device device_;
  std::string fingerprint_;
  Tensor embedding_, classifier_, final_norm_, rope_frequencies_;
  std::vector<Layer> layers_;
  std::shared_ptr<const RowWeights> row_weights_;
};

// A Hugging Face folder or a GGUF file. `dtype`: "auto", "float32" or "bfloat16"; `device`: "cpu" or "cuda";
// `decode_dtype`: "same" or "bfloat16".
std::shared_ptr<const Decoder> load_decoder(const std::filesystem::path& path, const std::string& dtype = "float32",
                                            const std::string& device = "cpu",
                                            const std::string& decode_dtype = "same");

// bf16 where the processor (or GPU) multiplies it natively, else fp32.
at::ScalarType resolve_dtype(const std::string& name, at::Device device);

}  // namespace precis

// The frozen decoder of every family in docs/models.md (methods.md section 1). Its weights are stored once and are not
// module parameters, so no optimiser can change them. A LoRA set passed to a pass turns it into the encoder.
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

// LoRA adapters for a pass.
struct Adapters {
  const LoraSet* lora = nullptr;
  Tensor rows;  // bool [B, T]: rows they apply to; undefined: all
};

// Input of one pass through the layers. By default it is the frozen decoder's causal pass; with a plan and adapters,
// the encoder's.
struct DecoderInput {
  Tensor rows;                        // [B, T, D], right-padded
  Tensor lengths;                     // int64 [B]: valid rows; may be undefined without a cache
  Tensor position_ids;                // int64 [B, T]
  Tensor labels;                      // int64 [B, T]: target token of each row, -100: none; undefined for generation
  std::optional<PastKeyValues> past;  // keys and values before the rows; gradients flow into them
  std::optional<AttentionPlan> plan;  // none: causal, with the family's sliding windows; after a past: a dense one
  Adapters adapters;
};

// Requested outputs of a pass; nothing else is computed.
struct DecoderWants {
  bool rows = true;        // final hidden rows
  int64_t first_row = 0;   // ... from this row on; 0 with `states`
  Tensor keys_values;      // int64 [B, A]: rows whose keys and values are returned, for every layer
  bool states = false;     // the input and every layer's output, the last after the final norm
  bool attention = false;  // attention weights; needs a dense plan
  int64_t layers = -1;     // number of layers to run; -1: all
};

struct DecoderOutput {
  Tensor rows;                       // [B, T - first_row, D], after the final norm
  std::vector<LayerKv> keys_values;  // N of [B, K, A, d], keys rotated
  std::vector<Tensor> states;        // layers + 1 of [B, T, D]: h^0 ... h^k (methods.md section 4)
  std::vector<Tensor> attention;     // N of [B, H, T, T], fp32, each row sums to 1
};

class Decoder {
 public:
  // Reads every tensor of the family from the checkpoint, strictly. `dtype`: fp32 or bf16.
  // `decode_dtype`: dtype of the RowWeights; if it differs from `dtype`, they are a separate copy.
  Decoder(DecoderConfig config, const Checkpoint& checkpoint, at::ScalarType dtype, at::Device device,
          std::optional<at::ScalarType> decode_dtype = std::nullopt);

  // A decoder without weights, for plans: a compressor around it can be built and counted, but not run.
  static std::shared_ptr<const Decoder> shape_only(DecoderConfig config);

  const DecoderConfig& config() const { return config_; }
  at::ScalarType dtype() const { return dtype_; }
  at::Device device() const { return device_; }
  const std::string& fingerprint() const { return fingerprint_; }  // of the checkpoint's bytes
  const Tensor& embedding_table() const { return embedding_; }     // [V, D]
  const Tensor& classifier() const { return classifier_; }         // [V, D]; the embedding table where tied
  double embedding_scale() const { return embedding_scale_; }      // of the table's rows where they are embedded
  std::vector<LoraTarget> linear_shapes() const;                   // every linear that LoRA can adapt

  Tensor embed(const Tensor& ids) const;  // int64 [...] to [..., D]

  // One pass over the layers. With `cache` (inference only) the rows follow its entries, and their keys and values are
  // appended to it; else the rows follow `input.past`.
  DecoderOutput run(const DecoderInput& input, const DecoderWants& wants = {}, KvCache* cache = nullptr) const;

  // Throws Error for a position beyond max_positions, if they are on the CPU. `run` does so too.
  void check_positions(const Tensor& position_ids) const;

  // The first position of which longrope changes the frequencies of a whole context; nullopt for other decoders. Keys
  // that are kept (a past, a memory, a cache) have those of shorter contexts.
  std::optional<int64_t> frequency_change() const;

  // The same for a single output.
  Tensor hidden(const DecoderInput& input, KvCache* cache = nullptr) const { return run(input, {}, cache).rows; }
  std::vector<LayerKv> keys_values(const DecoderInput& input, const Tensor& index /* int64 [B, A] */) const {
    return run(input, {.rows = false, .keys_values = index}).keys_values;
  }
  std::vector<Tensor> hidden_states(const DecoderInput& input, int64_t layers) const {
    return run(input, {.rows = false, .states = true, .layers = layers}).states;
  }

  Tensor logits(const Tensor& rows) const;  // [..., D] to [..., V]

  // Weights for RowDecoder; nullptr if it is not available (on a GPU).
  const RowWeights* row_weights() const { return row_weights_.get(); }

  // A layer's keys [B, K, M, d] moved by `by` positions (int64 [B, M] or [B, 1], may be negative).
  Tensor rotate_keys(int64_t layer, const Tensor& keys, const Tensor& by) const;

 private:
  explicit Decoder(DecoderConfig config);

  struct Layer {
    Tensor attention_in, attention_out, mlp_in, mlp_out;  // weights of the norms; undefined: none there
    Tensor q_norm, k_norm;
    Tensor qkv, qkv_bias, o, o_bias, gate_up, gate_up_bias, down, down_bias;
  };
  struct Heads {
    Tensor q, k, v;  // [B, H or K, S, d], q and k rotated
  };
  class Plans;  // the plan of each layer of a pass

  std::shared_ptr<const RowWeights> make_row_weights(at::ScalarType dtype) const;
  Tensor read_norm(const Checkpoint& checkpoint, const std::string& name, int64_t width) const;
  void load_layer(int64_t index, const Checkpoint& checkpoint, std::set<std::string>& used, WeightPool& pool);
  Heads project(int64_t layer, const Tensor& x, const RopeTable* rope, const Adapters& adapters) const;
  // `into`: destination of the layer's rows; without gradients only.
  Tensor finish_layer(int64_t layer, const Tensor& residual, const Tensor& attended, const Adapters& adapters,
                      const Tensor& into) const;
  Tensor norm(const Tensor& x, const Tensor& weight) const;
  LinearInput normed(const Tensor& x, const Tensor& weight) const;  // input of a linear after a norm, if there is one
  std::vector<RopeTable> rope(const DecoderInput& input) const;     // of each of config().ropes
  void check_kept_keys(const Tensor& position_ids) const;

  DecoderConfig config_;
  at::ScalarType dtype_;
  at::Device device_;
  std::string fingerprint_;
  double embedding_scale_ = 1;  // rounded to dtype()
  Tensor embedding_, classifier_, final_norm_;
  std::vector<RopeFrequencies> rope_frequencies_;
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

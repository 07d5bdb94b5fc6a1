// The settings of a compressor (methods.md sections 2 to 6), and what a field of the configuration may hold.
#pragma once

#include <algorithm>
#include <cstdint>
#include <limits>
#include <string>
#include <vector>

namespace precis {

// What a field may hold besides its type.
struct Limits {
  double low = -std::numeric_limits<double>::infinity();
  double high = std::numeric_limits<double>::infinity();
  std::vector<std::string> choices;  // for strings: the allowed values
};
inline Limits at_least(double low) { return {.low = low}; }
inline Limits between(double low, double high) { return {.low = low, .high = high}; }
inline Limits one_of(std::vector<std::string> choices) { return {.choices = std::move(choices)}; }

// A compression ratio, or several of which training draws one per batch; as a number it is the first.
struct Ratio {
  std::vector<int64_t> values;
  Ratio(int64_t ratio = 4) : values{ratio} {}
  operator int64_t() const { return values.front(); }
  int64_t smallest() const { return *std::min_element(values.begin(), values.end()); }
  bool has(int64_t ratio) const { return std::find(values.begin(), values.end(), ratio) != values.end(); }
};

// methods.md section 2.1; `preset` fills the fields, fields set by hand afterwards win.
struct MaskConfig {
  std::string preset = "pic", text_scope, text_sees_earlier_memory, memory_to_text, memory_to_memory,
              memory_sees_prefix;
  int64_t window = 1;
  template <class V>
  void visit(V& v) {
    v("preset", preset, "named mask; a field below overrides it, an empty one keeps it",
      one_of({"pic", "pic-strict", "pic-local", "pic-recurrent", "pic-triangular", "pic-block", "icae"}));
    v("text_scope", text_scope, "text sees all earlier text, or its own chunk only", one_of({"", "full", "chunk"}));
    v("text_sees_earlier_memory", text_sees_earlier_memory, "text sees the memory of earlier chunks",
      one_of({"", "yes", "no"}));
    v("memory_to_text", memory_to_text, "which chunks a memory slot reads",
      one_of({"", "own_chunk", "up_to", "window", "global"}));
    v("memory_to_memory", memory_to_memory, "which memory slots it sees",
      one_of({"", "causal_all", "own_group", "self_only"}));
    v("memory_sees_prefix", memory_sees_prefix, "memory sees the BOS prefix", one_of({"", "yes", "no"}));
    v("window", window, "for memory_to_text = window: chunks before its own that a slot reads", at_least(0));
  }
};

struct LoraConfig {
  int64_t rank = 64;
  double alpha = 32, dropout = 0.1;
  std::vector<std::string> targets = {"q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"};
  template <class V>
  void visit(V& v) {
    v("rank", rank, "rank of the encoder's low-rank updates; 0: the encoder is the decoder itself", between(0, 65536));
    v("alpha", alpha, "the update is scaled by alpha / rank", at_least(0));
    v("dropout", dropout, "dropout on the update's input while training", between(0, 0.999));
    v("targets", targets, "adapted linear layers",
      one_of({"q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"}));
  }
};

// methods.md section 3.
struct SacConfig {
  std::string attention = "full", anchor_selection = "uniform";
  bool anchor_embedding = true;
  template <class V>
  void visit(V& v) {
    v("attention", attention, "inside a chunk: every token sees every token, or only anchors do, or none",
      one_of({"full", "anchors", "causal"}));
    v("anchor_selection", anchor_selection,
      "every r-th token, or as many drawn at random, by a hash of the chunk's tokens (the paper's ablation)",
      one_of({"uniform", "random"}));
    v("anchor_embedding", anchor_embedding, "add the learned anchor embedding (off: the paper's ablation)");
  }
};

// methods.md section 4.
struct ComprexitConfig {
  int64_t window = 128, gate_width = 256, metric_width = 256, sinkhorn_iterations = 30, top_k_layers = -1;
  double gate_temperature = 0.7, epsilon = 0.1, mass_floor = 0.05, mass_temperature = 1.0, locality = 0;
  std::string value_init = "random";
  template <class V>
  void visit(V& v) {
    v("window", window, "tokens of a transport window W", at_least(1));
    v("gate_width", gate_width, "width e of the depth-wise gate", at_least(1));
    v("gate_temperature", gate_temperature, "temperature of the gate's softmax over layers", at_least(1e-6));
    v("metric_width", metric_width, "width of the space in which transport costs are measured", at_least(1));
    v("epsilon", epsilon, "entropic regularisation of the transport", at_least(1e-6));
    v("sinkhorn_iterations", sinkhorn_iterations, "Sinkhorn iterations, all with gradient", at_least(1));
    v("mass_floor", mass_floor, "share of a token's source mass that is uniform", between(0, 1));
    v("mass_temperature", mass_temperature, "temperature of the source masses", at_least(1e-6));
    v("locality", locality,
      "added to the cost of a token outside a slot's own run, for each run between them; 0: the paper's cost",
      at_least(0));
    v("value_init", value_init, "initial values of the two value maps: random, or the identity with zero bias",
      one_of({"random", "identity"}));
    v("top_k_layers", top_k_layers, "stop the encoder after this many layers; -1: all", at_least(-1));
  }
};

struct CompressorConfig {
  std::string method = "pic", form = "default";
  Ratio ratio;
  int64_t chunk = 0, slots = 0, segment_length = 256, memory_row_count = 0;
  MaskConfig mask;
  std::string carrier = "embedding", positions = "sequential", layout = "append", encoder_bos = "auto",
              decoder_bos = "auto", memory_rows = "per_slot", memory_init = "embedding", projector = "mlp",
              attention_path = "blocks";
  bool memory_markers = false;
  LoraConfig lora;
  SacConfig sac;
  ComprexitConfig comprexit;
  template <class V>
  void visit(V& v) {
    v("method", method,
      "compression method: pic, icae, 500x, sac, comprexit, mean-pool or one of your own; sets the defaults of the "
      "other fields");
    v("form", form,
      "sets the defaults of the other fields too: what learns best in this library (docs/results.md), or the method as "
      "published, as far as it is known",
      one_of({"default", "published"}));
    v("ratio", ratio, "text tokens per memory slot r; a list: one is drawn per training batch", at_least(1));
    v("chunk", chunk, "chunk length c in tokens, a multiple of the ratio; 0: the ratio (PIC)", at_least(0));
    v("slots", slots, "without chunks: a fixed number of slots per segment; 0: by the ratio", at_least(0));
    v("segment_length", segment_length, "longer contexts are cut into segments (SAC: chunks) of this many tokens",
      at_least(1));
    v("mask", mask, "the encoder's attention mask");
    v("carrier", carrier, "memory as soft-prompt rows, or as keys and values of every layer",
      one_of({"embedding", "kv"}));
    v("positions", positions, "position ids of memory slots", one_of({"sequential", "epl", "chunk_end"}));
    v("layout", layout, "all memory after the text, or each chunk's memory after the chunk",
      one_of({"append", "interleave"}));
    v("encoder_bos", encoder_bos, "each segment begins with BOS; auto: where the tokenizer adds one",
      one_of({"auto", "yes", "no"}));
    v("decoder_bos", decoder_bos, "the decoder's input begins with BOS", one_of({"auto", "yes", "no"}));
    v("memory_markers", memory_markers, "learned begin and end rows around each segment's memory");
    v("memory_rows", memory_rows,
      "one learned row per slot, one shared by all, or as many as a chunk has slots, the same in every chunk",
      one_of({"per_slot", "shared", "per_group"}));
    v("memory_row_count", memory_row_count, "rows of the learned table; 0: as many as a full segment has slots",
      at_least(0));
    v("memory_init", memory_init, "standard deviation of the learned rows: the embedding table's, or 1",
      one_of({"embedding", "unit"}));
    v("projector", projector,
      "between encoder and decoder: nothing; a perceptron; or one that begins as zero and is added to what it reads "
      "(memory tokens: to the mean embedding of the slot's tokens)",
      one_of({"none", "mlp", "residual"}));
    v("attention_path", attention_path, "block plan (fast) or dense mask (its slow reference twin)",
      one_of({"blocks", "dense"}));
    v("lora", lora, "low-rank adapters that turn the frozen decoder into the encoder");
    v("sac", sac, "semantic anchors only");
    v("comprexit", comprexit, "explicit transmission only");
  }
};

// What a config starts from: the method as published (methods.md sections 2.2, 3, 4, 5), or with the fields of our own
// choice [ours] set to what was measured to learn best.
CompressorConfig compressor_defaults(const std::string& method, const std::string& form = "default");

}  // namespace precis

// The settings of a compressor (methods.md sections 2 to 6).
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "precis/config/fields.h"
#include "precis/config/method.h"

namespace precis {

// methods.md section 2.1. `preset` sets the fields; fields set explicitly override it.
struct MaskConfig {
  std::string preset = "pic", text_scope, text_sees_earlier_memory, memory_to_text, memory_to_memory,
              memory_sees_prefix;
  int64_t window = 1;
  template <class V>
  void visit(V& v) {
    v("preset", preset, "named mask; non-empty fields below override it",
      one_of({"pic", "pic-strict", "pic-local", "pic-recurrent", "pic-triangular", "pic-block", "icae"}));
    v("text_scope", text_scope, "text attends to all earlier text, or only to its own chunk",
      one_of({"", "full", "chunk"}));
    v("text_sees_earlier_memory", text_sees_earlier_memory, "text attends to the memory of earlier chunks",
      one_of({"", "yes", "no"}));
    v("memory_to_text", memory_to_text, "chunks whose text a memory slot attends to",
      one_of({"", "own_chunk", "up_to", "window", "global"}));
    v("memory_to_memory", memory_to_memory, "memory slots that a memory slot attends to",
      one_of({"", "causal_all", "own_group", "self_only"}));
    v("memory_sees_prefix", memory_sees_prefix, "memory attends to the BOS prefix", one_of({"", "yes", "no"}));
    v("window", window, "with memory_to_text = window: number of chunks before its own that a slot reads", at_least(0));
  }
};

struct LoraConfig {
  int64_t rank = 64;
  double alpha = 32, dropout = 0.1;
  std::vector<std::string> targets = {"q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"};
  template <class V>
  void visit(V& v) {
    v("rank", rank, "rank of the encoder's low-rank updates; 0: no adapters, the encoder is the decoder itself",
      between(0, 65536));
    v("alpha", alpha, "scale of the update: alpha / rank", at_least(0));
    v("dropout", dropout, "dropout on the adapter's input during training", between(0, 0.999));
    v("targets", targets, "adapted linear layers",
      one_of({"q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"}));
  }
};

struct CompressorConfig {
  static constexpr int64_t most_rows = 1 << 19;  // of a segment and of learned tables; a file cannot ask for more
  std::string method = "pic", form = "default";
  Ratio ratio;
  int64_t chunk = 0, slots = 0, segment_length = 256, memory_row_count = 0;
  MaskConfig mask;
  std::string carrier = "embedding", positions = "sequential", layout = "append", encoder_bos = "auto",
              decoder_bos = "auto", memory_rows = "per_slot", memory_init = "embedding", projector = "mlp",
              attention_path = "blocks";
  bool memory_markers = false;
  LoraConfig lora;
  MethodSettings settings;             // of `method`: compressor.<method>.*
  std::vector<MethodSettings> others;  // of the other methods, only while reading or documenting a configuration
  Methods methods;                     // the methods known when the configuration was read
  template <class V>
  void visit(V& v) {
    v("method", method,
      "compression method: pic, icae, 500x, sac, comprexit, mean-pool, beacon or a registered custom method; sets the "
      "defaults of the other fields");
    v("form", form,
      "also sets the defaults of the other fields; default: what learns best in this library (docs/results.md); "
      "published: the method as published, as far as it is known",
      one_of({"default", "published"}));
    v("ratio", ratio, "compression ratio r: text tokens per memory slot; a list: each training batch samples one",
      at_least(1));
    v("chunk", chunk, "chunk length c in tokens, a multiple of the ratio; 0: the ratio (PIC)", between(0, most_rows));
    v("slots", slots, "without chunks: fixed number of slots per segment; 0: from the ratio", between(0, most_rows));
    v("segment_length", segment_length, "segment length in tokens (SAC: chunk length); longer contexts are split",
      between(1, most_rows));
    v("mask", mask, "the encoder's attention mask");
    v("carrier", carrier, "memory as soft-prompt rows, or as keys and values in every layer",
      one_of({"embedding", "kv"}));
    v("positions", positions, "position ids of memory slots", one_of({"sequential", "epl", "chunk_end"}));
    v("layout", layout, "all memory after the text, or each chunk's memory after its chunk",
      one_of({"append", "interleave"}));
    v("encoder_bos", encoder_bos, "start each segment with BOS; auto: if the tokenizer adds one",
      one_of({"auto", "yes", "no"}));
    v("decoder_bos", decoder_bos, "start the decoder's input with BOS; auto: if the tokenizer adds one",
      one_of({"auto", "yes", "no"}));
    v("memory_markers", memory_markers, "learned begin and end rows around each segment's memory");
    v("memory_rows", memory_rows,
      "learned rows: one per slot, one shared by all slots, or one per slot of a chunk, the same for every chunk",
      one_of({"per_slot", "shared", "per_group"}));
    v("memory_row_count", memory_row_count, "rows of the learned table; 0: the number of slots in a full segment",
      between(0, most_rows));
    v("memory_init", memory_init, "standard deviation of the initial memory rows: the embedding table's, or 1",
      one_of({"embedding", "unit"}));
    v("projector", projector,
      "module between encoder and decoder: none; an MLP; or an MLP that starts at zero and is added to its input "
      "(memory tokens: to the mean embedding of the slot's tokens)",
      one_of({"none", "mlp", "residual"}));
    v("attention_path", attention_path, "blocks (fast), or a dense mask (slow reference implementation)",
      one_of({"blocks", "dense"}));
    v("lora", lora, "low-rank adapters that turn the frozen decoder into the encoder");
    if (!settings.empty()) v(settings.key(), settings, settings.doc());
    for (auto& other : others) v(other.key(), other, other.doc());
  }
};

// The defaults of a method: as published (methods.md sections 2.2, 3, 4, 5), or with `form` = "default" the values that
// learned best in our measurements [ours]. An unknown method has the struct's values.
CompressorConfig compressor_defaults(const std::string& method, const std::string& form, const Methods& methods);

}  // namespace precis

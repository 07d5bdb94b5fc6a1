// A compressor turns contexts into memories and defines how the frozen decoder reads them. Training, evaluation and
// generation use only this interface. A new method derives from it and is one entry in a CompressorRegistry.
#pragma once

#include <torch/nn/module.h>

#include <functional>
#include <memory>

#include "precis/config/config.h"
#include "precis/memory/memory.h"
#include "precis/model/decoder.h"
#include "precis/weights/safetensors.h"

namespace precis {

class Tokenizer;

enum class Task { ae, lm, qa };  // reconstruction, continuation, question answering (methods.md section 7)

// What the decoder reads after the memory. Row r uses the memory of context memory_index[r].
struct TaskTokens {
  Task task = Task::qa;
  Tensor ids;           // int64 [R, T], right-padded
  Tensor lengths;       // int64 [R]
  Tensor labels;        // int64 [R, T]: target for ids[t], predicted by the row before it; -100: not supervised.
                        // Undefined: generation. The last id is an input in generation, only a target in training.
  Tensor memory_index;  // int64 [R]
};

// Trained rows [D] of a soft prompt: what asks for the text itself, and markers around each segment (or undefined).
struct PromptRows {
  Tensor ae, begin, end;
};

// The encoder's mask and positions for the first segment of the first context, in layout order, for inspection and
// tests.
struct EncoderView {
  Tensor mask;       // bool [S, S]
  Tensor positions;  // int64 [S]
};

// The encoder's pass over the first segment of each context under a dense mask, and what its rows are: for inspecting
// the attention of memory rows.
struct AttentionView {
  DecoderInput pass;
  std::vector<int64_t> chunk;  // [S]: chunk of each row, text or memory; -1: prefix
  int64_t first_memory = 0;    // rows from this one on are memory
};

class Compressor : public torch::nn::Module {
 public:
  // `bos_id`: -1 if the tokenizer has none; `adds_bos`: the model expects BOS before a text.
  struct Surroundings {
    std::shared_ptr<const Decoder> decoder;
    int64_t bos_id = -1;
    bool adds_bos = false;
    std::string tokenizer_hash;
    uint64_t seed = 1;                     // random seed for the initial values
    const Tokenizer* tokenizer = nullptr;  // of the base model, for methods that look at text; outlives the compressor
  };

  Compressor(CompressorConfig config, Surroundings surroundings);

  virtual Memory compress(const TokenBatch& context) = 0;  // differentiable
  // Whether segments read the memory of those before them. If so, compress_after is overridden.
  virtual bool reads_earlier_memory() const { return false; }
  // The memory of `next` alone, which continues the texts that `before` holds; join_parts joins both. By default
  // segments never see each other, and only the length of the text before matters.
  virtual Memory compress_after(const Memory& before, const TokenBatch& next) {
    return compress({next.ids, next.lengths, before.source_tokens});
  }
  virtual DecoderInput prompt(const Memory& memory, const TaskTokens& task) const = 0;
  // A method-specific loss over the contexts last compressed: a differentiable scalar, added in training to the mean
  // loss per supervised token. Undefined: none.
  virtual Tensor auxiliary_loss() const { return {}; }
  // The method's own factor on the learning rate of a trained tensor; train.lr_factors multiplies it.
  virtual double lr_factor(const std::string& /* tensor */) const { return 1; }
  virtual EncoderView encoder_view(const TokenBatch& context) const;
  // For one context; nullopt if the method has no memory rows.
  virtual std::optional<AttentionView> attention_view(const TokenBatch&) const { return std::nullopt; }
  virtual bool context_begins_with_bos() const { return false; }  // BOS is part of the compressed text (SAC)
  // BOS to add when the decoder reads a context uncompressed; -1: none, or the context already begins with it.
  int64_t text_bos() const { return surroundings_.adds_bos && !context_begins_with_bos() ? surroundings_.bos_id : -1; }
  virtual void set_dropout_generator(const at::Generator&) {}
  // The ratio of the next memories, one of config().ratio; initially the first.
  int64_t ratio() const { return ratio_; }
  virtual void set_ratio(int64_t ratio);
  // Memory entries for a context of this many tokens.
  int64_t entries_of(int64_t tokens) const;
  virtual int64_t version() const { return 1; }  // increased when the same trained tensors give other memories

  const CompressorConfig& config() const { return config_; }
  const Decoder& decoder() const { return *surroundings_.decoder; }
  const std::string& tokenizer_hash() const { return surroundings_.tokenizer_hash; }
  int64_t trained_parameters() const;
  MemoryOrigin origin() const;

 protected:
  const Surroundings& surroundings() const { return surroundings_; }
  virtual int64_t entries_of_segment(int64_t tokens) const;  // by the ratio, rounded up
  // A memory for these contexts without content: only source tokens, origin and placement.
  Memory empty_memory(const TokenBatch& context, MemoryPlacement placement = {}) const;
  // Trained rows [n, D] ([D] for n = 0), fp32, initialised from a normal distribution and this compressor's seed.
  Tensor learned_rows(const std::string& name, int64_t n, double mean, double deviation);
  // Registers "ae_row" and, with config().memory_markers, "mem_begin_row" and "mem_end_row".
  PromptRows learned_prompt_rows(double deviation);
  at::Generator& generator() { return generator_; }
  bool use_bos(const std::string& setting, const char* key) const;  // "auto", "yes", "no"

 private:
  CompressorConfig config_;
  Surroundings surroundings_;
  int64_t ratio_;
  at::Generator generator_;
};

using CompressorFactory =
    std::function<std::shared_ptr<Compressor>(const CompressorConfig&, const Compressor::Surroundings&)>;

// Methods by name. A program with its own methods starts from `built_in` and adds them.
class CompressorRegistry {
 public:
  static CompressorRegistry built_in();
  // `about`: the method's defaults and settings; the settings become compressor.<method>.* in the configuration. Throws
  // Error if the name is already a configuration key or a method.
  void add(const std::string& method, CompressorFactory factory, Method about = {});
  std::vector<std::string> names() const;
  const Methods& methods() const { return methods_; }  // for reading configurations
  CompressorConfig defaults(const std::string& method, const std::string& form = "default") const {
    return compressor_defaults(method, form, methods_);
  }
  std::shared_ptr<Compressor> make(const CompressorConfig& config, const Compressor::Surroundings& surroundings) const;

 private:
  std::map<std::string, CompressorFactory> factories_;
  Methods methods_ = std::make_shared<MethodTable>();
};

// Sum of the cross-entropy over supervised rows, and their number: loss = sum / count (methods.md section 7).
struct LossSum {
  Tensor sum;        // fp32 scalar, differentiable
  double count = 0;  // sum of weights, if rows have weights
};
LossSum decoder_loss(const Decoder& decoder, const DecoderInput& input);

}  // namespace precis

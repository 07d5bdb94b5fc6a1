// A compressor turns contexts into memories and says how the frozen decoder reads them. Training, evaluation and
// generation know this interface only; a new method derives from it and is one entry in a CompressorRegistry.
#pragma once

#include <torch/nn/module.h>

#include <functional>
#include <memory>

#include "precis/compress/memory.h"
#include "precis/config/config.h"
#include "precis/model/decoder.h"
#include "precis/weights/safetensors.h"

namespace precis {

enum class Task { ae, lm, qa };  // reconstruction, continuation, question answering (methods.md section 7)

// What the decoder reads after the memory. Row r belongs to the memory of context memory_index[r].
struct TaskTokens {
  Task task = Task::qa;
  Tensor ids;           // int64 [R, T], right-padded
  Tensor lengths;       // int64 [R]
  Tensor labels;        // int64 [R, T]: target for ids[t], predicted by the row before it; -100: not supervised.
                        // Undefined for generation; then the last id is input, in training it is only a target.
  Tensor memory_index;  // int64 [R]
};

// The encoder's mask and positions for the first segment of the first context, in layout order: for people and tests.
struct EncoderView {
  Tensor mask;       // bool [S, S]
  Tensor positions;  // int64 [S]
};

// The encoder's pass over the first segment of each context under a dense mask, and what its rows are: to look at where
// memory rows attend.
struct AttentionView {
  EncoderPass pass;
  std::vector<int64_t> chunk;  // [S]: of each row, text or memory; -1: prefix
  int64_t first_memory = 0;    // rows from here on are memory
};

class Compressor : public torch::nn::Module {
 public:
  // `bos_id`: -1 if the tokenizer has none; `adds_bos`: the model expects it in front of a text.
  struct Surroundings {
    std::shared_ptr<const Decoder> decoder;
    int64_t bos_id = -1;
    bool adds_bos = false;
    std::string tokenizer_hash;
    uint64_t seed = 1;  // of the initial values
  };

  Compressor(CompressorConfig config, Surroundings surroundings);

  virtual Memory compress(const TokenBatch& context) = 0;  // differentiable
  virtual DecoderInput prompt(const Memory& memory, const TaskTokens& task) const = 0;
  virtual EncoderView encoder_view(const TokenBatch& context) const;
  // Of one context; nothing where the method has no memory rows.
  virtual std::optional<AttentionView> attention_view(const TokenBatch&) const { return std::nullopt; }
  virtual bool context_begins_with_bos() const { return false; }  // BOS is part of the text that is compressed (SAC)
  // BOS that stands in front of a context's tokens where the decoder reads them as they are; -1: none, or theirs.
  int64_t text_bos() const { return surroundings_.adds_bos && !context_begins_with_bos() ? surroundings_.bos_id : -1; }
  virtual void set_dropout_generator(const at::Generator&) {}
  // The ratio of the next memories, one of config().ratio; at first its first.
  int64_t ratio() const { return ratio_; }
  virtual void set_ratio(int64_t ratio);
  // Memory entries that a context of this many tokens gets.
  int64_t entries_of(int64_t tokens) const;
  virtual int64_t version() const { return 1; }  // raised when the same trained tensors give other memories

  const CompressorConfig& config() const { return config_; }
  const Decoder& decoder() const { return *surroundings_.decoder; }
  const std::string& tokenizer_hash() const { return surroundings_.tokenizer_hash; }
  int64_t trained_parameters() const;
  MemoryOrigin origin() const;

 protected:
  const Surroundings& surroundings() const { return surroundings_; }
  virtual int64_t entries_of_segment(int64_t tokens) const;  // by the ratio, rounded up
  // A memory of these contexts without content: source tokens, origin and placement.
  Memory empty_memory(const TokenBatch& context, MemoryPlacement placement = {}) const;
  // Normally distributed trained rows [n, D] (or [D] for n = 0), fp32, from the stream of this compressor's seed.
  Tensor learned_rows(const std::string& name, int64_t n, double mean, double deviation);
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

// Methods by name. A program that adds its own starts from `built_in` and adds a line.
class CompressorRegistry {
 public:
  static CompressorRegistry built_in();
  void add(const std::string& method, CompressorFactory factory) { factories_[method] = std::move(factory); }
  std::vector<std::string> methods() const;
  std::shared_ptr<Compressor> make(const CompressorConfig& config, const Compressor::Surroundings& surroundings) const;

 private:
  std::map<std::string, CompressorFactory> factories_;
};

// Sum over supervised rows of the cross-entropy and their number: loss = sum / count (methods.md section 7).
struct LossSum {
  Tensor sum;        // fp32 scalar, differentiable
  double count = 0;  // of weights, where rows have some
};
LossSum decoder_loss(const Decoder& decoder, const DecoderInput& input);

}  // namespace precis

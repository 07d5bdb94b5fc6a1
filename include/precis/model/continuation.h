// Contexts that the decoder continues: reads their prompts once, then one token per context at a time.
#pragma once

#include <optional>

#include "precis/model/decoder.h"
#include "precis/nn/device_graph.h"

namespace precis {

// Use without gradients.
class Continuation {
 public:
  // Reads the prompts. `by_rows`: tokens by RowDecoder, on a GPU by a DeviceGraph, if possible; false: by
  // Decoder::hidden. Throws Error if prompt and new tokens exceed the decoder's positions, and if the logits are not
  // numbers.
  Continuation(const Decoder& decoder, const DecoderInput& prompts, int64_t most_new_tokens, bool by_rows = true);
  Continuation(const Continuation&) = delete;
  Continuation& operator=(const Continuation&) = delete;

  // Logits [B, V] of the next tokens, valid until the next `read`.
  const Tensor& logits() const { return logits_; }
  void read(const Tensor& ids /* int64 [B] */);

  int64_t contexts() const { return position_.size(0); }

 private:
  friend class JointContinuation;

  void read_prompts(const DecoderInput& prompts);
  bool read_across_change(const Tensor& ids);

  const Decoder& decoder_;
  KvCache cache_;
  int64_t most_new_tokens_;
  bool by_rows_;
  std::optional<RowDecoder> rows_;
  std::optional<DeviceGraph> graph_;
  bool began_ = false;
  std::optional<int64_t> change_;  // with longrope, the position at which all is read again; then these are kept:
  DecoderInput prompts_;
  Tensor prompt_end_;           // int64 [B, 1]
  std::vector<Tensor> tokens_;  // read since, int64 [B] each
  Tensor position_;             // int64 [B, 1], of the last row read
  Tensor ids_, one_, logits_;   // the graph's inputs and output, at fixed addresses
};

// Continuations whose tokens are read in one pass over the weights, where the decoder has RowWeights; each gets the
// logits that it would get alone. They must outlive this object, and are read through it only.
class JointContinuation {
 public:
  JointContinuation(const Decoder& decoder, std::vector<Continuation*> members /* of one context each */);

  void read(const Tensor& ids /* int64 [members] */);

 private:
  const Decoder& decoder_;
  std::vector<Continuation*> members_;
  std::vector<RowDecoder> parts_;
};

}  // namespace precis

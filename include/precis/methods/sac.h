// SAC: tokens of the context itself become anchors, marked by an anchor embedding; their keys and values are the
// memory. Re-implemented from arXiv 2510.08907 and lx-Meteors/SAC (methods.md section 3).
#pragma once

#include "precis/compress/compressor.h"

namespace precis {

// compressor.sac.*
struct SacSettings {
  std::string attention = "full", anchor_selection = "uniform";
  bool anchor_embedding = true;
  template <class V>
  void visit(V& v) {
    v("attention", attention, "attention within a chunk: bidirectional for all tokens, for anchors only, or for none",
      one_of({"full", "anchors", "causal"}));
    v("anchor_selection", anchor_selection,
      "every r-th token, or the same number at random, by a hash of the chunk's tokens (the paper's ablation)",
      one_of({"uniform", "random"}));
    v("anchor_embedding", anchor_embedding, "add the learned anchor embedding (false: the paper's ablation)");
  }
};

// Rows (from 0) of the anchors in a chunk of n tokens at ratio r: every r-th from (r - 1) div 2, at least one.
std::vector<int64_t> anchor_rows_of_chunk(int64_t n, int64_t ratio);

// The same number of rows of the chunk `ids` [n], drawn without replacement by a hash of the ids and sorted: the
// paper's ablation.
std::vector<int64_t> random_anchor_rows(const int64_t* ids, int64_t n, int64_t ratio);

class Sac : public Compressor {
 public:
  static Method about();
  Sac(const CompressorConfig& config, const Surroundings& surroundings);

  Memory compress(const TokenBatch& context) override;
  DecoderInput prompt(const Memory& memory, const TaskTokens& task) const override;
  EncoderView encoder_view(const TokenBatch& context) const override;
  bool context_begins_with_bos() const override { return surroundings().adds_bos; }
  void set_dropout_generator(const at::Generator& generator) override;

 protected:
  int64_t entries_of_segment(int64_t tokens) const override {
    return static_cast<int64_t>(anchor_rows_of_chunk(tokens, ratio()).size());
  }

 private:
  std::vector<int64_t> anchor_rows(const Tensor& ids /* int64 [at least n] */, int64_t n) const;
  AttentionPlan plan_of(const Tensor& anchors, const Tensor& lengths, int64_t width) const;

  SacSettings settings_;
  std::shared_ptr<LoraSet> lora_;
  Tensor anchor_rows_, lm_row_, ae_row_;
};

}  // namespace precis

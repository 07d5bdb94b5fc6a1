// SAC: tokens of the context itself become anchors, marked by an anchor embedding; their keys and values are the
// memory. Re-implemented from arXiv 2510.08907 and lx-Meteors/SAC (methods.md section 3).
#pragma once

#include "precis/compress/compressor.h"

namespace precis {

// Rows (from 0) of the anchors in a chunk of n tokens at ratio r: every r-th from (r - 1) div 2, at least one.
std::vector<int64_t> anchor_rows_of_chunk(int64_t n, int64_t ratio);

// As many rows of the chunk `ids` [n], drawn without repeats by a hash of the ids and in order: the paper's ablation.
std::vector<int64_t> random_anchor_rows(const int64_t* ids, int64_t n, int64_t ratio);

class Sac : public Compressor {
 public:
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

  std::shared_ptr<LoraSet> lora_;
  Tensor anchor_rows_, lm_row_, ae_row_;
};

}  // namespace precis

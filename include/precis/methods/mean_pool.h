// Mean pooling: a causal encoder without memory rows, and the mean of its last hidden states over each run of r tokens.
// The strong simple baseline of arXiv 2510.20797, with the encoder and projector of PIC (methods.md section 5).
#pragma once

#include "precis/compress/compressor.h"
#include "precis/compress/projector.h"

namespace precis {

class MeanPool : public Compressor {
 public:
  static Method about();
  MeanPool(const CompressorConfig& config, const Surroundings& surroundings);

  Memory compress(const TokenBatch& context) override;
  DecoderInput prompt(const Memory& memory, const TaskTokens& task) const override;
  EncoderView encoder_view(const TokenBatch& context) const override;
  void set_dropout_generator(const at::Generator& generator) override;

 private:
  bool encoder_bos_, decoder_bos_;
  std::shared_ptr<LoraSet> lora_;
  std::shared_ptr<Projector> projector_;
  PromptRows prompt_rows_;
};

}  // namespace precis

// Mean pooling: the mean of each run of r last hidden states of a causal encoder without memory rows. The strong plain
// baseline of arXiv 2510.20797, with the same encoder and projector as PIC (methods.md section 5).
#pragma once

#include "precis/compress/compressor.h"
#include "precis/compress/projector.h"

namespace precis {

class MeanPool : public Compressor {
 public:
  MeanPool(const CompressorConfig& config, const Surroundings& surroundings);

  Memory compress(const TokenBatch& context) override;
  DecoderInput prompt(const Memory& memory, const TaskTokens& task) const override;
  EncoderView encoder_view(const TokenBatch& context) const override;
  void set_dropout_generator(const at::Generator& generator) override;

 private:
  bool encoder_bos_, decoder_bos_;
  std::shared_ptr<LoraSet> lora_;
  std::shared_ptr<Projector> projector_;
  Tensor ae_row_, begin_row_, end_row_;
};

}  // namespace precis

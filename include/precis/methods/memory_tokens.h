// The memory-token compressor: text and learned memory rows in one encoder pass under a mask. PIC, ICAE and
// 500xCompressor are settings of four independent fields: mask, carrier, positions, layout (methods.md sections 2, 5,
// 6).
#pragma once

#include "precis/compress/compressor.h"
#include "precis/compress/projector.h"
#include "precis/mask/positions.h"

namespace precis {

struct SegmentBatch;  // contexts split into segments

class MemoryTokens : public Compressor {
 public:
  static Method pic();
  static Method icae();
  static Method x500();  // 500xCompressor
  MemoryTokens(const CompressorConfig& config, const Surroundings& surroundings);

  Memory compress(const TokenBatch& context) override;
  DecoderInput prompt(const Memory& memory, const TaskTokens& task) const override;
  EncoderView encoder_view(const TokenBatch& context) const override;
  std::optional<AttentionView> attention_view(const TokenBatch& context) const override;
  void set_dropout_generator(const at::Generator& generator) override;

 protected:
  int64_t entries_of_segment(int64_t tokens) const override { return shape_of(tokens).slots; }

 private:
  SegmentShape shape_of(int64_t text) const;
  SegmentShape padded_shape(const std::vector<SegmentShape>& shapes, int64_t width) const;
  // All segments as one batch of rows, padded to `padded`.
  DecoderInput encoder_pass(const SegmentBatch& batch, const std::vector<SegmentShape>& shapes,
                            const SegmentShape& padded) const;
  MemoryPlacement placement() const;
  void set_positions(Memory& memory, const SegmentBatch& batch, const std::vector<SegmentShape>& shapes) const;
  bool chunked() const { return mask_.memory_to_text != MemoryToText::global || config().chunk > 0; }

  MaskSpec mask_;
  PositionScheme positions_;
  Layout layout_;
  bool kv_, encoder_bos_, decoder_bos_;
  std::shared_ptr<LoraSet> lora_;
  std::shared_ptr<Projector> projector_;
  Tensor memory_rows_;
  PromptRows prompt_rows_;
};

}  // namespace precis

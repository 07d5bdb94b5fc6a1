// ComprExIT: explicit transmission from all layers of the frozen decoder into slots, without adapters and without
// gradients in the encoder (methods.md section 4).
#pragma once

#include "precis/compress/compressor.h"
#include "precis/compress/transmission.h"

namespace precis {

class Comprexit : public Compressor {
 public:
  Comprexit(const CompressorConfig& config, const Surroundings& surroundings);

  Memory compress(const TokenBatch& context) override;
  DecoderInput prompt(const Memory& memory, const TaskTokens& task) const override;
  void set_ratio(int64_t ratio) override;

  // Everything on the way, by context: windows and slots of a context's segments in order, absent ones zero.
  struct Explanation {
    Tensor x, gate;                   // [B, L, D], [B, L, N + 1]
    Tensor seeds;                     // [B, M, D]
    Tensor cost, mass, target, plan;  // [B, windows, ...]
    Memory memory;
  };
  Explanation explain(const TokenBatch& context) const;

 protected:
  int64_t entries_of_segment(int64_t tokens) const override { return transport_->slots_of(tokens); }

 private:
  // The frozen pass of all segments, the gates and the transport.
  struct Moved;
  Moved move(const TokenBatch& context) const;
  using Slots = std::vector<std::vector<int64_t>>;  // by context, indices into the flattened slots of all segments
  Memory remember(const TokenBatch& context, const Moved& moved, Slots& source) const;

  bool decoder_bos_;
  int64_t layers_;
  std::shared_ptr<DepthwiseGate> gate_;
  std::shared_ptr<WidthwiseTransport> transport_;
  std::shared_ptr<Projector> projector_;
};

}  // namespace precis

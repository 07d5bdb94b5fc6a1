// Activation Beacon: a context is read chunk by chunk. Beacon tokens behind or among a chunk's tokens gather it, and
// only their keys and values stay in front of the chunks after it. Re-implemented from arXiv 2401.03462 and its copy in
// Jiangnan0522/ComprExIT (methods.md section 5).
#pragma once

#include "precis/compress/compressor.h"

namespace precis {

// compressor.beacon.*
struct BeaconSettings {
  std::string ratio_draw = "chunk";
  template <class V>
  void visit(V& v) {
    v("ratio_draw", ratio_draw, "with several ratios, each training batch draws one for every chunk, or one for all",
      one_of({"chunk", "batch"}));
  }
};

// A segment is a chunk: compressor.segment_length tokens.
class Beacon : public Compressor {
 public:
  static Method about();
  Beacon(const CompressorConfig& config, const Surroundings& surroundings);

  Memory compress(const TokenBatch& context) override { return read(nullptr, context); }
  Memory compress_after(const Memory& before, const TokenBatch& next) override { return read(&before, next); }
  bool reads_earlier_memory() const override { return true; }
  DecoderInput prompt(const Memory& memory, const TaskTokens& task) const override;
  EncoderView encoder_view(const TokenBatch& context) const override;
  bool context_begins_with_bos() const override { return surroundings().adds_bos; }
  void set_dropout_generator(const at::Generator& generator) override;

 private:
  // One chunk of each context as decoder rows.
  struct Rows {
    Tensor ids;                                 // int64 [B, T]: token ids; 0 for beacons and padding
    Tensor is_beacon;                           // bool [B, T]
    Tensor lengths;                             // int64 [B]
    std::vector<std::vector<int64_t>> beacons;  // row of each beacon
  };
  Rows rows_of(const TokenBatch& context, int64_t start, int64_t ratio) const;
  int64_t chunk_ratio();
  Memory read(const Memory* before, const TokenBatch& context);

  BeaconSettings settings_;
  std::shared_ptr<LoraSet> lora_;
  Tensor beacon_row_, ae_row_;  // [D]
  std::optional<at::Generator> draws_;
};

}  // namespace precis

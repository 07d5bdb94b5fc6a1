// ComprExIT: explicit transmission from all layers of the frozen decoder into slots, without adapters and without
// gradients in the encoder (methods.md section 4).
#pragma once

#include "precis/compress/compressor.h"
#include "precis/methods/transmission.h"

namespace precis {

// compressor.comprexit.*
struct ComprexitSettings {
  int64_t window = 128, gate_width = 256, metric_width = 256, sinkhorn_iterations = 30, top_k_layers = -1;
  double gate_temperature = 0.7, epsilon = 0.1, mass_floor = 0.05, mass_temperature = 1.0, locality = 0;
  std::string value_init = "random";
  template <class V>
  void visit(V& v) {
    v("window", window, "length W of a transport window in tokens", at_least(1));
    v("gate_width", gate_width, "width e of the depth-wise gate", between(1, 65536));
    v("gate_temperature", gate_temperature, "temperature of the gate's softmax over layers", at_least(1e-6));
    v("metric_width", metric_width, "width of the projection that transport costs are computed in", between(1, 65536));
    v("epsilon", epsilon, "entropic regularisation of the transport", at_least(1e-6));
    v("sinkhorn_iterations", sinkhorn_iterations, "Sinkhorn iterations, all with gradients", at_least(1));
    v("mass_floor", mass_floor, "uniform share of a token's source mass", between(0, 1));
    v("mass_temperature", mass_temperature, "temperature of the source masses", at_least(1e-6));
    v("locality", locality, "cost added to a token outside a slot's own run, per run of distance; 0: the paper's cost",
      at_least(0));
    v("value_init", value_init, "initial values of both value maps: random, or the identity with zero bias",
      one_of({"random", "identity"}));
    v("top_k_layers", top_k_layers, "number of encoder layers to run; -1: all", at_least(-1));
  }
};

class Comprexit : public Compressor {
 public:
  static Method about();
  Comprexit(const CompressorConfig& config, const Surroundings& surroundings);

  Memory compress(const TokenBatch& context) override;
  DecoderInput prompt(const Memory& memory, const TaskTokens& task) const override;
  void set_ratio(int64_t ratio) override;

  // Intermediate tensors by context: windows and slots of its segments in order, absent ones zero.
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
  // The frozen pass over all segments, the gate and the transport.
  struct Moved;
  Moved move(const TokenBatch& context) const;
  using Slots = std::vector<std::vector<int64_t>>;  // by context, indices into the flattened slots of all segments
  Memory remember(const TokenBatch& context, const Moved& moved, Slots& source) const;

  ComprexitSettings settings_;
  bool decoder_bos_;
  int64_t layers_;
  std::shared_ptr<DepthwiseGate> gate_;
  std::shared_ptr<WidthwiseTransport> transport_;
  std::shared_ptr<Projector> projector_;
};

}  // namespace precis

// The two heads of ComprExIT as separate modules: depth-wise gates over the layers of a frozen model, and
// width-wise optimal transport of tokens into slots. Re-implemented from arXiv 2602.03784 and Jiangnan0522/ComprExIT
// (methods.md sections 4.1 and 4.2).
#pragma once

#include <torch/nn/module.h>

#include <vector>

#include "precis/compress/projector.h"

namespace precis {

struct GateOutput {
  Tensor x;     // [n, L, D]: one token anchor per token, fp32
  Tensor gate;  // [n, L, N + 1]: weights over the layers
};

class DepthwiseGate : public torch::nn::Module {
 public:
  DepthwiseGate(int64_t states, int64_t width, int64_t gate_width, double temperature, at::Generator generator);

  void begin_as_identity();  // initialises W_v as the identity, b_v as zero [ours]

  // Projects the gated mixture once: equal results without a product of the size of all layers.
  GateOutput forward(const std::vector<Tensor>& states /* N + 1 of [n, L, D] */) const;
  // The paper's formula, which projects every layer: the reference implementation.
  GateOutput forward_literal(const std::vector<Tensor>& states) const;

 private:
  Tensor mix_logits_, layer_embedding_;
  LinearParameters q_, k_, v_;
  double scale_;  // 1 / (temperature sqrt(e))
};

// First token of each run of a full window, then the window's end. M_w = ceil(W / r) runs of W div M_w tokens, the
// first W mod M_w of them one longer.
std::vector<int64_t> run_boundaries(int64_t window, int64_t ratio);

// Log-domain Sinkhorn: cost [..., W, M], masses a [..., W] and b [..., M]; returns the plan [..., W, M] in fp32, with
// gradients through all iterations. v starts at 0; rows and columns of zero mass stay zero. `drop_empty`: exclude empty
// columns from the first step on; the authors' code includes them in the first update.
Tensor sinkhorn(const Tensor& cost, const Tensor& a, const Tensor& b, double epsilon, int64_t iterations,
                bool drop_empty = true);

struct TransportOptions {
  int64_t window = 128, ratio = 4, metric_width = 256, iterations = 30;
  double epsilon = 0.1, mass_floor = 0.05, mass_temperature = 1;
  double locality = 0;    // cost of a token outside a slot's own run, per run of distance [ours]
  bool identity = false;  // initialise the value map as the identity without bias [ours]
};

struct TransportOutput {
  Tensor seeds;   // [n, w, M, D]; w windows per segment, M slots per full window
  Tensor cost;    // [n, w, W, M]
  Tensor mass;    // [n, w, W]
  Tensor target;  // [n, w, M]
  Tensor plan;    // [n, w, W, M]
  Tensor slots;   // [n, w, M, D]
};

class WidthwiseTransport : public torch::nn::Module {
 public:
  WidthwiseTransport(int64_t width, TransportOptions options, at::Generator generator);

  // x [n, L, D] fp32, of which lengths[i] tokens are valid. Entries of absent tokens and slots are zero.
  TransportOutput forward(const Tensor& x, const Tensor& lengths) const;

  void set_ratio(int64_t ratio);           // the heads do not depend on it
  int64_t slots_of(int64_t tokens) const;  // slots of a segment of this many tokens
  int64_t end_of_run(int64_t slot) const;  // one past the last token of a slot's run, counted in the segment

 private:
  struct NormedLinear {
    Tensor norm_weight, norm_bias, weight, bias;
    Tensor operator()(const Tensor& x) const;  // LayerNorm (eps 1e-5), then the linear
  };
  NormedLinear register_normed_linear(const std::string& name, int64_t in, int64_t out, at::Generator generator);

  TransportOptions options_;
  std::vector<int64_t> boundaries_;
  NormedLinear cost_, mass_, value_;
};

}  // namespace precis

// The converter between encoder rows and decoder rows: two linear layers with an exact GELU in between, in three forms.
#pragma once

#include <torch/nn/module.h>

namespace precis {

using at::Tensor;

// A module with "weight" [out, in] and "bias" [out], initialised uniformly within 1/sqrt(in), like nn.Linear.
struct LinearParameters {
  Tensor weight, bias;
};
LinearParameters register_linear(torch::nn::Module& parent, const std::string& name, int64_t in, int64_t out,
                                 at::Generator generator);

class Projector : public torch::nn::Module {
 public:
  // PCC's: RMSNorm (eps 1e-6, learned weight) first, nn.Linear's initial values (methods.md section 2.2).
  static std::shared_ptr<Projector> with_norm(int64_t width, at::Generator generator);
  // The same with its second linear initialised to zero [ours]: training starts from the rows it is added to.
  static std::shared_ptr<Projector> zero(int64_t width, at::Generator generator);
  // ComprExIT's: no norm, Xavier uniform with gain 0.4, biases zero (section 4.3).
  static std::shared_ptr<Projector> xavier(int64_t width, at::Generator generator);

  Tensor forward(const Tensor& rows /* [..., D] */) const;  // fp32, the dtype of the trained tensors

 private:
  Tensor norm_weight_;  // undefined: no norm
  LinearParameters first_, second_;
};

}  // namespace precis

#include "precis/nn/swiglu.h"

#include <torch/torch.h>

namespace precis {
namespace {

class SwiGlu : public torch::autograd::Function<SwiGlu> {
 public:
  static Tensor forward(torch::autograd::AutogradContext* context, const Tensor& gate_up) {
    context->save_for_backward({gate_up});
    const auto halves = gate_up.chunk(2, -1);
    return torch::silu(halves[0]).mul_(halves[1]);
  }

  static torch::autograd::variable_list backward(torch::autograd::AutogradContext* context,
                                                 torch::autograd::variable_list upstream) {
    const Tensor gate_up = context->get_saved_variables()[0];
    const auto halves = gate_up.chunk(2, -1);
    Tensor gradient = torch::empty_like(gate_up);
    auto parts = gradient.chunk(2, -1);
    at::silu_backward_out(parts[0], upstream[0] * halves[1], halves[0]);
    at::mul_out(parts[1], upstream[0], torch::silu(halves[0]));
    return {gradient};
  }
};

}  // namespace

Tensor swiglu(const Tensor& gate_up) { return SwiGlu::apply(gate_up); }

Tensor reference_swiglu(const Tensor& gate_up) {
  const auto halves = gate_up.chunk(2, -1);
  return torch::silu(halves[0]) * halves[1];
}

}  // namespace precis

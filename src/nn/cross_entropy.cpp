#include "precis/nn/cross_entropy.h"

#include <torch/torch.h>

#include "precis/nn/linear.h"

namespace precis {
namespace {

class LinearCrossEntropy : public torch::autograd::Function<LinearCrossEntropy> {
 public:
  static Tensor forward(torch::autograd::AutogradContext* context, const Tensor& rows, const Tensor& weight,
                        const Tensor& targets, int64_t block_rows) {
    const bool wants_gradient = rows.requires_grad();
    Tensor sum = torch::zeros({}, rows.options().dtype(torch::kFloat));
    Tensor gradient = wants_gradient ? torch::empty_like(rows) : Tensor();
    for (int64_t start = 0; start < rows.size(0); start += block_rows) {
      const int64_t n = std::min(block_rows, rows.size(0) - start);
      Tensor logits = times_transposed(rows.narrow(0, start, n), weight).to(torch::kFloat);  // [n, V]
      const Tensor target = targets.narrow(0, start, n).unsqueeze(1);
      const Tensor log_sum = logits.logsumexp(1, true);
      sum += (log_sum - logits.gather(1, target)).sum();
      if (!wants_gradient) continue;
      logits.sub_(log_sum).exp_();  // softmax, in place
      logits.scatter_add_(1, target, torch::full_like(target, -1, logits.options()));
      gradient.narrow(0, start, n).copy_(times(logits.to(weight.scalar_type()), weight));
    }
    if (wants_gradient) context->save_for_backward({gradient});
    return sum;
  }

  static torch::autograd::variable_list backward(torch::autograd::AutogradContext* context,
                                                 torch::autograd::variable_list upstream) {
    const Tensor gradient = context->get_saved_variables()[0];
    return {gradient * upstream[0].to(gradient.scalar_type()), Tensor(), Tensor(), Tensor()};
  }
};

}  // namespace

Tensor linear_cross_entropy_sum(const Tensor& rows, const Tensor& weight, const Tensor& targets, int64_t block_rows) {
  return LinearCrossEntropy::apply(rows, weight, targets, block_rows);
}

}  // namespace precis

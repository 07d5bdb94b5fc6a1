#include "precis/nn/divergence.h"

#include <torch/csrc/autograd/custom_function.h>
#include <torch/types.h>

#include "precis/nn/linear.h"

namespace precis {
namespace {

// The teacher's probabilities [n, V or k], and their tokens [n, k] if only the likeliest are kept.
std::pair<Tensor, Tensor> teacher_of(Tensor logits, double temperature, int64_t top_k) {
  logits = logits.to(torch::kFloat) / temperature;
  Tensor kept;
  if (top_k > 0 && top_k < logits.size(-1)) std::tie(logits, kept) = logits.topk(top_k);
  return {logits.softmax(-1), kept};
}

Tensor divergence_of(const Tensor& p, const Tensor& kept, const Tensor& log_q) {
  const Tensor own = kept.defined() ? log_q.gather(-1, kept) : log_q;
  return torch::xlogy(p, p).sum() - (p * own).sum();
}

class LinearDivergence : public torch::autograd::Function<LinearDivergence> {
 public:
  static Tensor forward(torch::autograd::AutogradContext* context, const Tensor& rows, const Tensor& teacher,
                        const Tensor& weight, double temperature, int64_t top_k, int64_t block_rows) {
    const bool wants_gradient = rows.requires_grad();
    Tensor sum = torch::zeros({}, rows.options().dtype(torch::kFloat));
    Tensor gradient = wants_gradient ? torch::empty_like(rows) : Tensor();
    for (int64_t start = 0; start < rows.size(0); start += block_rows) {
      const int64_t n = std::min(block_rows, rows.size(0) - start);
      const auto [p, kept] =
          teacher_of(times_transposed(teacher.narrow(0, start, n), weight), temperature, top_k);  // [n, V or k]
      const Tensor log_q =
          (times_transposed(rows.narrow(0, start, n), weight).to(torch::kFloat) / temperature).log_softmax(-1);
      sum += divergence_of(p, kept, log_q);
      if (!wants_gradient) continue;
      Tensor by_logits = log_q.exp();  // the gradient is T (q - p)
      kept.defined() ? by_logits.scatter_add_(1, kept, -p) : by_logits.sub_(p);
      gradient.narrow(0, start, n).copy_(times(by_logits.mul_(temperature).to(rows.scalar_type()), weight));
    }
    if (wants_gradient) context->save_for_backward({gradient});
    return sum * (temperature * temperature);
  }

  static torch::autograd::variable_list backward(torch::autograd::AutogradContext* context,
                                                 torch::autograd::variable_list upstream) {
    const Tensor gradient = context->get_saved_variables()[0];
    return {gradient * upstream[0].to(gradient.scalar_type()), Tensor(), Tensor(), Tensor(), Tensor(), Tensor()};
  }
};

}  // namespace

Tensor linear_divergence_sum(const Tensor& rows, const Tensor& teacher, const Tensor& weight, double temperature,
                             int64_t top_k, int64_t block_rows) {
  return LinearDivergence::apply(rows, teacher, weight, temperature, top_k, block_rows);
}

Tensor reference_linear_divergence_sum(const Tensor& rows, const Tensor& teacher, const Tensor& weight,
                                       double temperature, int64_t top_k) {
  const auto [p, kept] = teacher_of(torch::linear(teacher, weight), temperature, top_k);
  const Tensor log_q = (torch::linear(rows, weight).to(torch::kFloat) / temperature).log_softmax(-1);
  return divergence_of(p, kept, log_q) * (temperature * temperature);
}

}  // namespace precis

#include "precis/nn/cross_entropy.h"

#include <torch/csrc/autograd/custom_function.h>
#include <torch/types.h>

#include <cmath>
#include <numeric>

#include "precis/nn/linear.h"
#include "processors.h"

namespace precis {
namespace {

// A block of logits [n, V]. If `gradient`, the loss's gradient replaces them: softmax minus 1 at the target.
template <class T>
struct Logits {
  T* values;
  const int64_t* targets;
  double* losses;
  int64_t width;
  bool gradient;
};

template <class T>
PRECIS_INLINE void cross_entropy(const Logits<T>& l, int64_t begin, int64_t end) {
  for (int64_t row = begin; row < end; ++row) {
    T* z = l.values + row * l.width;
    const float top = highest_of(l.width, [z](int64_t j) PRECIS_ALWAYS_INLINE { return widened(z[j]); });
    const float sum =
        sum_of(l.width, [z, top](int64_t j) PRECIS_ALWAYS_INLINE { return exp_in_vectors(widened(z[j]) - top); });
    l.losses[row] = std::log(sum) + top - widened(z[l.targets[row]]);
    if (!l.gradient) continue;
    const float share = 1 / sum, at_target = exp_in_vectors(widened(z[l.targets[row]]) - top) * share - 1;
    for (int64_t j = 0; j < l.width; ++j) narrow_into(z[j], exp_in_vectors(widened(z[j]) - top) * share);
    narrow_into(z[l.targets[row]], at_target);
  }
}

template <class T>
double cross_entropy_sum(Tensor& logits, const Tensor& targets, bool gradient) {
  std::vector<double> losses(static_cast<size_t>(logits.size(0)));
  const Logits<T> l{logits.mutable_data_ptr<T>(), targets.const_data_ptr<int64_t>(), losses.data(), logits.size(1),
                    gradient};
  for_rows(logits.size(0), 1, [l](int64_t begin, int64_t end) PRECIS_ALWAYS_INLINE { cross_entropy(l, begin, end); });
  return std::accumulate(losses.begin(), losses.end(), 0.0);
}

// The sum of the losses; logits [n, V] become its gradient. On the CPU by our kernel, one cached row at a time; on
// other devices by LibTorch.
Tensor sum_of_losses(Tensor& logits, const Tensor& targets, bool gradient) {
  const auto dtype = logits.scalar_type();
  if (logits.device().is_cpu() && (dtype == at::kFloat || dtype == at::kBFloat16)) {
    const double sum = with_type_of(dtype, [&]<class T>(T) { return cross_entropy_sum<T>(logits, targets, gradient); });
    return torch::tensor(sum, torch::kFloat);
  }
  Tensor wide = logits.to(torch::kFloat);
  const Tensor target = targets.unsqueeze(1), log_sum = wide.logsumexp(1, true);
  const Tensor sum = (log_sum - wide.gather(1, target)).sum();
  if (gradient) {
    wide.sub_(log_sum).exp_();
    wide.scatter_add_(1, target, torch::full_like(target, -1, wide.options()));
    logits = wide.to(dtype);
  }
  return sum;
}

class LinearCrossEntropy : public torch::autograd::Function<LinearCrossEntropy> {
 public:
  static Tensor forward(torch::autograd::AutogradContext* context, const Tensor& rows, const Tensor& weight,
                        const Tensor& given, int64_t block_rows) {
    const bool wants_gradient = rows.requires_grad();
    const Tensor targets = given.contiguous();
    Tensor sum = torch::zeros({}, rows.options().dtype(torch::kFloat));
    Tensor gradient = wants_gradient ? torch::empty_like(rows) : Tensor();
    for (int64_t start = 0; start < rows.size(0); start += block_rows) {
      const int64_t n = std::min(block_rows, rows.size(0) - start);
      Tensor logits = times_transposed(rows.narrow(0, start, n), weight);  // [n, V]
      sum += sum_of_losses(logits, targets.narrow(0, start, n), wants_gradient);
      if (wants_gradient) gradient.narrow(0, start, n).copy_(times(logits, weight));
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

#include "precis/nn/rms_norm.h"

#include <torch/csrc/autograd/custom_function.h>
#include <torch/types.h>

#include <cmath>

#include "processors.h"

namespace precis {
namespace {

constexpr int64_t rows_per_task = 16;

// Rows [R, D] of x, the weight, each row's 1 / rms (`scale`), and `out`: y, or x's gradient from y's (`upstream`).
template <class T>
struct Rows {
  const T *x, *weight, *upstream;
  T* out;
  float* scale;
  int64_t width;
  float eps;
};

template <class T>
PRECIS_INLINE void forward(const Rows<T>& r, int64_t begin, int64_t end) {
  for (int64_t row = begin; row < end; ++row) {
    const T* x = r.x + row * r.width;
    T* out = r.out + row * r.width;
    const float sum = sum_of(r.width, [x](int64_t i) PRECIS_ALWAYS_INLINE { return widened(x[i]) * widened(x[i]); });
    const float s = 1 / std::sqrt(sum / static_cast<float>(r.width) + r.eps);
    r.scale[row] = s;
    for (int64_t i = 0; i < r.width; ++i) narrow_into(out[i], rounded<T>(widened(x[i]) * s) * widened(r.weight[i]));
  }
}

template <class T>
PRECIS_INLINE void backward(const Rows<T>& r, int64_t begin, int64_t end) {
  for (int64_t row = begin; row < end; ++row) {
    const T *x = r.x + row * r.width, *g = r.upstream + row * r.width, *w = r.weight;
    T* out = r.out + row * r.width;
    const float s = r.scale[row];
    const float dot =
        sum_of(r.width, [=](int64_t i) PRECIS_ALWAYS_INLINE { return widened(g[i]) * widened(w[i]) * widened(x[i]); });
    const float shrink = dot * s * s * s / static_cast<float>(r.width);
    for (int64_t i = 0; i < r.width; ++i)
      narrow_into(out[i], widened(g[i]) * widened(w[i]) * s - widened(x[i]) * shrink);
  }
}

template <class T>
void run(const Tensor& x, const Tensor& weight, double eps, const Tensor& upstream, Tensor& out, Tensor& scale) {
  const Rows<T> rows{x.const_data_ptr<T>(),
                     weight.const_data_ptr<T>(),
                     upstream.defined() ? upstream.const_data_ptr<T>() : nullptr,
                     out.mutable_data_ptr<T>(),
                     scale.mutable_data_ptr<float>(),
                     x.size(-1),
                     static_cast<float>(eps)};
  for_rows(x.numel() / x.size(-1), rows_per_task, [rows](int64_t begin, int64_t end) PRECIS_ALWAYS_INLINE {
    rows.upstream != nullptr ? backward(rows, begin, end) : forward(rows, begin, end);
  });
}

void run(const Tensor& x, const Tensor& weight, double eps, const Tensor& upstream, Tensor& out, Tensor& scale) {
  with_type_of(x.scalar_type(), [&]<class T>(T) { run<T>(x, weight, eps, upstream, out, scale); });
}

class FrozenRmsNorm : public torch::autograd::Function<FrozenRmsNorm> {
 public:
  static Tensor forward(torch::autograd::AutogradContext* context, const Tensor& input, const Tensor& weight,
                        double eps) {
    const Tensor x = input.contiguous();
    Tensor y = torch::empty_like(x), scale = torch::empty({x.numel() / x.size(-1)}, torch::kFloat);
    run(x, weight, eps, {}, y, scale);
    context->save_for_backward({x, weight, scale});
    return y;
  }

  static torch::autograd::variable_list backward(torch::autograd::AutogradContext* context,
                                                 torch::autograd::variable_list upstream) {
    const auto saved = context->get_saved_variables();
    Tensor gradient = torch::empty_like(saved[0]), scale = saved[2];
    run(saved[0], saved[1], 0, upstream[0].contiguous(), gradient, scale);
    return {gradient, Tensor(), Tensor()};
  }
};

}  // namespace

Tensor reference_rms_norm(const Tensor& x, const Tensor& weight, double eps) {
  return torch::rms_norm(x, {x.size(-1)}, weight, eps);
}

Tensor frozen_rms_norm(const Tensor& x, const Tensor& weight, double eps) {
  const bool here = x.device().is_cpu() && (x.scalar_type() == at::kFloat || x.scalar_type() == at::kBFloat16) &&
                    weight.scalar_type() == x.scalar_type();
  return here ? FrozenRmsNorm::apply(x, weight, eps) : reference_rms_norm(x, weight, eps);
}

}  // namespace precis

#include "precis/nn/rms_norm.h"

#include <ATen/Parallel.h>
#include <torch/torch.h>

#include <cmath>

namespace precis {
namespace {

constexpr int64_t rows_per_task = 16;

template <class T>
void forward_rows(const Tensor& x, const Tensor& weight, double eps, Tensor& y, Tensor& scale) {
  const int64_t D = x.size(-1);
  const T* in = x.const_data_ptr<T>();
  const T* w = weight.const_data_ptr<T>();
  T* out = y.mutable_data_ptr<T>();
  float* scales = scale.mutable_data_ptr<float>();
  at::parallel_for(0, x.numel() / D, rows_per_task, [&](int64_t begin, int64_t end) {
    for (int64_t row = begin; row < end; ++row) {
      const T* xr = in + row * D;
      float sum = 0;
      for (int64_t i = 0; i < D; ++i) sum += static_cast<float>(xr[i]) * static_cast<float>(xr[i]);
      const float s = 1 / std::sqrt(sum / static_cast<float>(D) + static_cast<float>(eps));
      scales[row] = s;
      for (int64_t i = 0; i < D; ++i) {
        out[row * D + i] = static_cast<T>(static_cast<float>(static_cast<T>(static_cast<float>(xr[i]) * s)) *
                                          static_cast<float>(w[i]));
      }
    }
  });
}

template <class T>
void backward_rows(const Tensor& x, const Tensor& weight, const Tensor& scale, const Tensor& upstream,
                   Tensor& gradient) {
  const int64_t D = x.size(-1);
  const T *in = x.const_data_ptr<T>(), *w = weight.const_data_ptr<T>(), *up = upstream.const_data_ptr<T>();
  const float* scales = scale.const_data_ptr<float>();
  T* out = gradient.mutable_data_ptr<T>();
  at::parallel_for(0, x.numel() / D, rows_per_task, [&](int64_t begin, int64_t end) {
    for (int64_t row = begin; row < end; ++row) {
      const T *xr = in + row * D, *gr = up + row * D;
      const float s = scales[row];
      float dot = 0;
      for (int64_t i = 0; i < D; ++i)
        dot += static_cast<float>(gr[i]) * static_cast<float>(w[i]) * static_cast<float>(xr[i]);
      const float shrink = dot * s * s * s / static_cast<float>(D);
      for (int64_t i = 0; i < D; ++i) {
        out[row * D + i] = static_cast<T>(static_cast<float>(gr[i]) * static_cast<float>(w[i]) * s -
                                          static_cast<float>(xr[i]) * shrink);
      }
    }
  });
}

class FrozenRmsNorm : public torch::autograd::Function<FrozenRmsNorm> {
 public:
  static Tensor forward(torch::autograd::AutogradContext* context, const Tensor& input, const Tensor& weight,
                        double eps) {
    const Tensor x = input.contiguous();
    Tensor y = torch::empty_like(x), scale = torch::empty({x.numel() / x.size(-1)}, torch::kFloat);
    x.scalar_type() == at::kBFloat16 ? forward_rows<c10::BFloat16>(x, weight, eps, y, scale)
                                     : forward_rows<float>(x, weight, eps, y, scale);
    context->save_for_backward({x, weight, scale});
    return y;
  }

  static torch::autograd::variable_list backward(torch::autograd::AutogradContext* context,
                                                 torch::autograd::variable_list upstream) {
    const auto saved = context->get_saved_variables();
    const Tensor g = upstream[0].contiguous();
    Tensor gradient = torch::empty_like(saved[0]);
    g.scalar_type() == at::kBFloat16 ? backward_rows<c10::BFloat16>(saved[0], saved[1], saved[2], g, gradient)
                                     : backward_rows<float>(saved[0], saved[1], saved[2], g, gradient);
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

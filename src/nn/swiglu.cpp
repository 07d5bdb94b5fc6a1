#include "precis/nn/swiglu.h"

#include <torch/csrc/autograd/custom_function.h>
#include <torch/types.h>

#include "processors.h"

namespace precis {
namespace {

constexpr int64_t entries_per_task = 16384;

// Rows [R, 2 F] of gate and up. Forward: `out` is the product [R, F]; backward: `upstream` is its gradient [R, F] and
// `out` the gradient of gate and up.
template <class T>
struct Rows {
  const T *gate_up, *upstream;
  T* out;
  int64_t width;
};

// As LibTorch computes it in T: silu(gate) is rounded before the product.
template <class T>
PRECIS_INLINE void forward(const Rows<T>& r, int64_t begin, int64_t end) {
  for (int64_t row = begin; row < end; ++row) {
    const T *gate = r.gate_up + row * 2 * r.width, *up = gate + r.width;
    T* out = r.out + row * r.width;
    for (int64_t i = 0; i < r.width; ++i) {
      const float g = widened(gate[i]);
      narrow_into(out[i], rounded<T>(g / (1 + exp_in_vectors(-g))) * widened(up[i]));
    }
  }
}

template <class T>
PRECIS_INLINE void backward(const Rows<T>& r, int64_t begin, int64_t end) {
  constexpr int64_t block = 64;  // a loop that narrows into two rows at once is not vectorised
  float by_gate[block], by_up[block];
  for (int64_t row = begin; row < end; ++row) {
    const T *gate = r.gate_up + row * 2 * r.width, *up = gate + r.width, *upstream = r.upstream + row * r.width;
    T *to_gate = r.out + row * 2 * r.width, *to_up = to_gate + r.width;
    for (int64_t start = 0; start < r.width; start += block) {
      const int64_t n = std::min(block, r.width - start);
      for (int64_t j = 0; j < n; ++j) {
        const float g = widened(gate[start + j]), sigmoid = 1 / (1 + exp_in_vectors(-g)),
                    by = widened(upstream[start + j]);
        by_gate[j] = by * widened(up[start + j]) * sigmoid * (1 + g * (1 - sigmoid));
        by_up[j] = by * g * sigmoid;
      }
      for (int64_t j = 0; j < n; ++j) narrow_into(to_gate[start + j], by_gate[j]);
      for (int64_t j = 0; j < n; ++j) narrow_into(to_up[start + j], by_up[j]);
    }
  }
}

template <class T>
void run(const Tensor& gate_up, const Tensor& upstream, Tensor& out) {
  const int64_t width = gate_up.size(-1) / 2;
  const Rows<T> rows{gate_up.const_data_ptr<T>(), upstream.defined() ? upstream.const_data_ptr<T>() : nullptr,
                     out.mutable_data_ptr<T>(), width};
  for_rows(gate_up.numel() / (2 * width), std::max<int64_t>(1, entries_per_task / width),
           [rows](int64_t begin, int64_t end) PRECIS_ALWAYS_INLINE {
             rows.upstream != nullptr ? backward(rows, begin, end) : forward(rows, begin, end);
           });
}

void run(const Tensor& gate_up, const Tensor& upstream, Tensor& out) {
  with_type_of(gate_up.scalar_type(), [&]<class T>(T) { run<T>(gate_up, upstream, out); });
}

class SwiGlu : public torch::autograd::Function<SwiGlu> {
 public:
  static Tensor forward(torch::autograd::AutogradContext* context, const Tensor& input) {
    const Tensor gate_up = input.contiguous();
    context->save_for_backward({gate_up});
    std::vector<int64_t> shape = gate_up.sizes().vec();
    shape.back() /= 2;
    Tensor out = torch::empty(shape, gate_up.options());
    run(gate_up, {}, out);
    return out;
  }

  static torch::autograd::variable_list backward(torch::autograd::AutogradContext* context,
                                                 torch::autograd::variable_list upstream) {
    const Tensor gate_up = context->get_saved_variables()[0], by = upstream[0].contiguous();
    Tensor out = torch::empty_like(gate_up);
    run(gate_up, by, out);
    return {out};
  }
};

}  // namespace

Tensor swiglu(const Tensor& gate_up) {
  const auto dtype = gate_up.scalar_type();
  const bool here = gate_up.device().is_cpu() && (dtype == at::kFloat || dtype == at::kBFloat16);
  return here ? SwiGlu::apply(gate_up) : reference_swiglu(gate_up);
}

Tensor geglu(const Tensor& gate_up) {
  const auto halves = gate_up.chunk(2, -1);
  return torch::gelu(halves[0], "tanh") * halves[1];
}

Tensor reference_swiglu(const Tensor& gate_up) {
  const auto halves = gate_up.chunk(2, -1);
  return torch::silu(halves[0]) * halves[1];
}

}  // namespace precis

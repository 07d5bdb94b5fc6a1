#include "precis/nn/linear.h"

#include <ATen/core/dispatch/Dispatcher.h>
#include <torch/torch.h>

namespace precis {
namespace {

using OneDnnLinear = Tensor(const Tensor&, const Tensor&, const std::optional<Tensor>&, c10::string_view,
                            c10::List<std::optional<at::Scalar>>, std::optional<c10::string_view>);

// LibTorch's own binding of oneDNN's product; nullptr where it should not be taken or is not there.
const c10::TypedOperatorHandle<OneDnnLinear>* one_dnn() {
  static const auto handle = []() -> std::optional<c10::TypedOperatorHandle<OneDnnLinear>> {
#if defined(__x86_64__)
    if (!__builtin_cpu_is("amd")) return std::nullopt;
    const auto schema = c10::Dispatcher::singleton().findSchema({"mkldnn::_linear_pointwise", ""});
    if (schema) return schema->typed<OneDnnLinear>();
#endif
    return std::nullopt;
  }();
  return handle ? &*handle : nullptr;
}

bool is_given(const Tensor& t) { return t.defined() && t.numel() > 0; }

// x [..., in] W^T + b.
Tensor product(const Tensor& x, const Tensor& weight, const Tensor& bias) {
  const auto* op = x.device().is_cpu() && x.scalar_type() == at::kFloat && x.numel() > 0 ? one_dnn() : nullptr;
  const std::optional<Tensor> b = is_given(bias) ? std::optional(bias) : std::nullopt;
  if (op == nullptr) return torch::linear(x, weight, b.value_or(Tensor()));
  return op->call(x.contiguous(), weight, b, "none", c10::List<std::optional<at::Scalar>>(), "");
}

class FrozenLinear : public torch::autograd::Function<FrozenLinear> {
 public:
  static Tensor forward(torch::autograd::AutogradContext* context, const Tensor& x, const Tensor& weight,
                        const Tensor& bias) {
    context->save_for_backward({weight});
    return product(x, weight, bias);
  }
  static torch::autograd::variable_list backward(torch::autograd::AutogradContext* context,
                                                 torch::autograd::variable_list upstream) {
    const Tensor weight = context->get_saved_variables()[0];
    const Tensor rows = times(upstream[0].flatten(0, -2), weight);
    std::vector<int64_t> shape = upstream[0].sizes().vec();
    shape.back() = weight.size(1);
    return {rows.view(shape), Tensor(), Tensor()};
  }
};

}  // namespace

Tensor times_transposed(const Tensor& rows, const Tensor& weight) { return product(rows, weight, {}); }

Tensor times(const Tensor& rows, const Tensor& weight) { return product(rows, weight.t(), {}); }

Tensor frozen_linear(const Tensor& x, const Tensor& weight, const Tensor& bias) {
  if (weight.requires_grad() || (bias.defined() && bias.requires_grad()) || one_dnn() == nullptr)
    return torch::linear(x, weight, bias);  // pretraining; and where LibTorch's own does the same
  return FrozenLinear::apply(x, weight, bias.defined() ? bias : torch::empty({0}, x.options()));
}

Tensor reference_linear(const Tensor& x, const Tensor& weight, const Tensor& bias) {
  return torch::linear(x, weight, bias);
}

}  // namespace precis

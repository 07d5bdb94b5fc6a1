#include "precis/nn/linear.h"

#include <ATen/Parallel.h>
#include <ATen/core/dispatch/Dispatcher.h>
#include <ATen/ops/addmm_cpu_dispatch.h>
#include <ATen/ops/mm_cpu_dispatch.h>
#include <ATen/record_function.h>
#include <torch/csrc/autograd/custom_function.h>
#include <torch/types.h>

#include "row_shares.h"

namespace precis {
namespace {

using OneDnnLinear = Tensor(const Tensor&, const Tensor&, const std::optional<Tensor>&, c10::string_view,
                            c10::List<std::optional<at::Scalar>>, std::optional<c10::string_view>);

// LibTorch's binding of oneDNN's product; nullptr if it is slower here or not available.
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

// oneDNN's bf16 products leave threads idle at many shapes (576 columns and 576 to 1280 rows: one of two is idle).
// Splitting the rows across the threads, with a separate product in each, keeps them all busy. Outside this range of
// rows per thread, oneDNN's own parallel product is faster; with few rows it divides the columns.
constexpr int64_t least_rows = 257, most_rows = 767, rows_unit = 32;  // per thread

bool splits_rows(const Tensor& x, const Tensor& weight) {
  const int64_t threads = at::get_num_threads(), rows = x.numel() / x.size(-1);
  return x.device().is_cpu() && x.scalar_type() == at::kBFloat16 && weight.scalar_type() == at::kBFloat16 &&
         threads > 1 && !at::in_parallel_region() && rows >= threads * least_rows && rows <= threads * most_rows;
}

// rows [R, in] W^T + b, without autograd.
Tensor by_rows(const Tensor& rows, const Tensor& weight, const Tensor& bias) {
  RECORD_FUNCTION("precis::linear", std::vector<c10::IValue>({rows, weight}));
  const Tensor out = torch::empty({rows.size(0), weight.size(0)}, rows.options()), by = weight.t();
  std::vector<std::pair<Tensor, Tensor>> parts;
  for (const auto& [first, n] : row_shares(rows, weight))
    parts.emplace_back(rows.narrow(0, first, n), out.narrow(0, first, n));
  at::parallel_for(0, static_cast<int64_t>(parts.size()), 1, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) {
      auto& [in, to] = parts[static_cast<size_t>(i)];
      bias.defined() ? at::cpu::addmm_out(to, bias, in, by) : at::cpu::mm_out(to, in, by);
    }
  });
  return out;
}

// x [..., in] W^T + b.
Tensor product(const Tensor& x, const Tensor& weight, const Tensor& bias) {
  const Tensor b = is_given(bias) ? bias : Tensor();
  if (splits_rows(x, weight)) {
    std::vector<int64_t> shape = x.sizes().vec();
    shape.back() = weight.size(0);
    return by_rows(x.flatten(0, -2), weight, b).view(shape);
  }
  const auto* op = x.device().is_cpu() && x.scalar_type() == at::kFloat && x.numel() > 0 ? one_dnn() : nullptr;
  if (op == nullptr) return torch::linear(x, weight, b);
  return op->call(x.contiguous(), weight, b.defined() ? std::optional(b) : std::nullopt, "none",
                  c10::List<std::optional<at::Scalar>>(), "");
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

std::vector<std::pair<int64_t, int64_t>> row_shares(const Tensor& rows, const Tensor& weight) {
  if (!splits_rows(rows, weight)) return {};
  const int64_t R = rows.size(0), threads = at::get_num_threads(),
                share = ((R + threads - 1) / threads + rows_unit - 1) / rows_unit * rows_unit;
  std::vector<std::pair<int64_t, int64_t>> out;
  for (int64_t first = 0; first < R; first += share) out.emplace_back(first, std::min(share, R - first));
  return out;
}

Tensor times_transposed(const Tensor& rows, const Tensor& weight) { return product(rows, weight, {}); }

Tensor times(const Tensor& rows, const Tensor& weight) { return product(rows, weight.t(), {}); }

Tensor frozen_linear(const Tensor& x, const Tensor& weight, const Tensor& bias) {
  if (weight.requires_grad() || (bias.defined() && bias.requires_grad()) ||
      (one_dnn() == nullptr && !splits_rows(x, weight)))
    return torch::linear(x, weight, bias);  // in pretraining, or if LibTorch's own product is as good
  return FrozenLinear::apply(x, weight, bias.defined() ? bias : torch::empty({0}, x.options()));
}

Tensor reference_linear(const Tensor& x, const Tensor& weight, const Tensor& bias) {
  return torch::linear(x, weight, bias);
}

}  // namespace precis

#include "precis/nn/lora_linear.h"

#include <torch/torch.h>

namespace precis {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

// Autograd functions take no undefined tensors; an empty one stands for "none".
bool given(const Tensor& t) { return t.numel() > 0; }
Tensor or_empty(const Tensor& t, const Tensor& like) { return t.defined() ? t : torch::empty({0}, like.options()); }

class LoraLinear : public torch::autograd::Function<LoraLinear> {
 public:
  // tensors: a, b and mask (perhaps undefined) of each slice.
  static Tensor forward(AutogradContext* context, const Tensor& x, const Tensor& weight, const Tensor& bias,
                        at::TensorList tensors, std::vector<int64_t> begins, double scale) {
    Tensor out = torch::linear(x, weight, given(bias) ? bias : Tensor());
    const Tensor rows = x.flatten(0, -2);
    Tensor out_rows = out.view({rows.size(0), -1});
    variable_list saved = {x, weight};
    for (size_t i = 0; i < begins.size(); ++i) {
      const Tensor a = tensors[3 * i].to(x.scalar_type()), b = tensors[3 * i + 1].to(x.scalar_type()),
                   mask = tensors[3 * i + 2];
      const Tensor input = given(mask) ? rows * mask.flatten(0, -2) : rows;
      const Tensor low = torch::mm(input, a.t());  // [R, rank]
      out_rows.narrow(1, begins[i], b.size(0)).addmm_(low, b.t(), 1, scale);
      saved.insert(saved.end(), {a, b, mask, low});
    }
    context->save_for_backward(saved);
    context->saved_data["begins"] = begins;
    context->saved_data["scale"] = scale;
    return out;
  }

  static variable_list backward(AutogradContext* context, variable_list upstream) {
    const variable_list saved = context->get_saved_variables();
    const Tensor &x = saved[0], &weight = saved[1];
    const auto begins = context->saved_data["begins"].toIntVector();
    const double scale = context->saved_data["scale"].toDouble();
    const Tensor g = upstream[0].flatten(0, -2), rows = x.flatten(0, -2);
    Tensor gx = torch::mm(g, weight);
    variable_list gradients(3);
    for (size_t i = 0; i < begins.size(); ++i) {
      const Tensor &a = saved[2 + 4 * i], &b = saved[3 + 4 * i], &mask = saved[4 + 4 * i], &low = saved[5 + 4 * i];
      const Tensor own = g.narrow(1, begins[i], b.size(0));
      const Tensor g_low = torch::mm(own, b).mul_(scale);  // [R, rank]
      const Tensor input = given(mask) ? rows * mask.flatten(0, -2) : rows;
      gradients.push_back(torch::mm(g_low.t(), input).to(torch::kFloat));
      gradients.push_back(torch::mm(own.t(), low).to(torch::kFloat).mul_(scale));
      gradients.emplace_back();
      if (given(mask)) {
        gx.add_(torch::mm(g_low, a) * mask.flatten(0, -2));
      } else {
        gx.addmm_(g_low, a);
      }
    }
    gradients[0] = gx.view(x.sizes());
    gradients.resize(gradients.size() + 2);  // begins, scale
    return gradients;
  }
};

}  // namespace

Tensor lora_linear(const Tensor& x, const Tensor& weight, const Tensor& bias, const std::vector<LoraSlice>& slices,
                   double scale) {
  if (slices.empty()) return torch::linear(x, weight, bias);
  variable_list tensors;
  std::vector<int64_t> begins;
  for (const auto& slice : slices) {
    tensors.insert(tensors.end(), {slice.a, slice.b, or_empty(slice.mask, x)});
    begins.push_back(slice.begin);
  }
  return LoraLinear::apply(x, weight, or_empty(bias, x), at::TensorList(tensors), begins, scale);
}

Tensor reference_lora_linear(const Tensor& x, const Tensor& weight, const Tensor& bias,
                             const std::vector<LoraSlice>& slices, double scale) {
  Tensor out = torch::linear(x, weight, bias);
  for (const auto& slice : slices) {
    const Tensor input = slice.mask.defined() ? x * slice.mask : x;
    const Tensor update =
        torch::linear(torch::linear(input, slice.a.to(x.scalar_type())), (slice.b * scale).to(x.scalar_type()));
    out = out + torch::constant_pad_nd(update, {slice.begin, out.size(-1) - slice.begin - update.size(-1)});
  }
  return out;
}

}  // namespace precis

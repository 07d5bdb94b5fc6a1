#include "precis/nn/lora_linear.h"

#include <torch/torch.h>

#include "precis/nn/dropout.h"
#include "precis/nn/linear.h"

namespace precis {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

// Autograd functions take no undefined tensors; an empty one stands for "none".
bool given(const Tensor& t) { return t.numel() > 0; }
Tensor or_empty(const Tensor& t, const Tensor& like) { return t.defined() ? t : torch::empty({0}, like.options()); }

// Slices that read the same input and so share their products with it: all of them, or each alone under its own mask.
struct Group {
  size_t begin = 0, end = 0;
};
std::vector<Group> groups_of(size_t slices, bool masked) {
  if (!masked) return {{0, slices}};
  std::vector<Group> out;
  for (size_t i = 0; i < slices; ++i) out.push_back({i, i + 1});
  return out;
}

struct InputHolder : torch::CustomClassHolder {
  explicit InputHolder(std::function<Tensor(const Tensor&)> m) : make(std::move(m)) {}
  std::function<Tensor(const Tensor&)> make;
};

class LoraLinear : public torch::autograd::Function<LoraLinear> {
 public:
  // tensors: a, b and mask (perhaps empty) of each slice; either all have a mask or none.
  static Tensor forward(AutogradContext* context, const Tensor& source, const Tensor& weight, const Tensor& bias,
                        at::TensorList tensors, std::vector<int64_t> begins, double scale,
                        const c10::intrusive_ptr<InputHolder>& input) {
    const Tensor x = LinearInput{source, input->make}.rows(), rows = x.flatten(0, -2);
    Tensor out = times_transposed(rows, weight);
    if (given(bias)) out.add_(bias);
    const bool masked = given(tensors[2]);
    variable_list saved = {source, weight};
    for (const Group& group : groups_of(begins.size(), masked)) {
      std::vector<Tensor> stacked;
      for (size_t i = group.begin; i < group.end; ++i) stacked.push_back(tensors[3 * i].to(x.scalar_type()));
      const Tensor a = stacked.size() == 1 ? stacked.front() : torch::cat(stacked);
      const Tensor& mask = tensors[3 * group.begin + 2];
      const Tensor low = times_transposed(under(mask, rows), a);  // [R, ranks]
      saved.insert(saved.end(), {a, mask, low});
      int64_t at = 0;
      for (size_t i = group.begin; i < group.end; ++i) {
        const Tensor b = tensors[3 * i + 1].to(x.scalar_type());
        out.narrow(1, begins[i], b.size(0)).addmm_(low.narrow(1, at, b.size(1)), b.t(), 1, scale);
        at += b.size(1);
        saved.push_back(b);
      }
    }
    context->save_for_backward(saved);
    context->saved_data["input"] = c10::IValue::make_capsule(input);
    context->saved_data["begins"] = begins;
    context->saved_data["scale"] = scale;
    context->saved_data["masked"] = masked;
    std::vector<int64_t> shape = x.sizes().vec();
    shape.back() = weight.size(0);
    return out.view(shape);
  }

  static variable_list backward(AutogradContext* context, variable_list upstream) {
    const variable_list saved = context->get_saved_variables();
    const Tensor& weight = saved[1];
    const auto input = c10::static_intrusive_pointer_cast<InputHolder>(context->saved_data["input"].toCapsule());
    Tensor source = saved[0], x = source;
    if (input->make) {
      const torch::AutoGradMode recording(true);
      source = source.detach().requires_grad_();
      x = input->make(source);
    }
    const auto begins = context->saved_data["begins"].toIntVector();
    const double scale = context->saved_data["scale"].toDouble();
    const Tensor g = upstream[0].flatten(0, -2), rows = x.detach().flatten(0, -2);
    Tensor gx = times(g, weight);
    variable_list gradients(3);
    size_t next = 2;
    for (const Group& group : groups_of(begins.size(), context->saved_data["masked"].toBool())) {
      const Tensor &a = saved[next], &mask = saved[next + 1], &low = saved[next + 2];
      next += 3;
      Tensor g_low = torch::empty_like(low);
      variable_list g_b;
      int64_t at = 0;
      for (size_t i = group.begin; i < group.end; ++i) {
        const Tensor& b = saved[next++];
        const Tensor own = g.narrow(1, begins[i], b.size(0));
        g_low.narrow(1, at, b.size(1)).copy_(torch::mm(own, b));
        g_b.push_back(torch::mm(own.t(), low.narrow(1, at, b.size(1))).to(torch::kFloat).mul_(scale));
        at += b.size(1);
      }
      g_low.mul_(scale);
      const Tensor g_a = torch::mm(g_low.t(), under(mask, rows)).to(torch::kFloat);  // [ranks, in]
      at = 0;
      for (size_t i = group.begin; i < group.end; ++i) {
        const int64_t rank = saved[next - (group.end - group.begin) + (i - group.begin)].size(1);
        gradients.insert(gradients.end(), {g_a.narrow(0, at, rank), g_b[i - group.begin], Tensor()});
        at += rank;
      }
      if (given(mask)) {
        add_kept(mask, torch::mm(g_low, a), gx);
      } else {
        gx.addmm_(g_low, a);
      }
    }
    gx = gx.view(x.sizes());
    gradients[0] = input->make ? torch::autograd::grad({x}, {source}, {gx}).front() : gx;
    gradients.resize(gradients.size() + 3);  // begins, scale, input
    return gradients;
  }

 private:
  static Tensor under(const Tensor& mask, const Tensor& rows) { return given(mask) ? kept(mask, rows) : rows; }
};

}  // namespace

Tensor lora_linear(const LinearInput& x, const Tensor& weight, const Tensor& bias, const std::vector<LoraSlice>& slices,
                   double scale) {
  if (slices.empty()) return frozen_linear(x.rows(), weight, bias);
  variable_list tensors;
  std::vector<int64_t> begins;
  for (const auto& slice : slices) {
    tensors.insert(tensors.end(), {slice.a, slice.b, or_empty(slice.mask, x.source)});
    begins.push_back(slice.begin);
  }
  return LoraLinear::apply(x.source, weight, or_empty(bias, x.source), at::TensorList(tensors), begins, scale,
                           c10::make_intrusive<InputHolder>(x.make));
}

Tensor reference_lora_linear(const Tensor& x, const Tensor& weight, const Tensor& bias,
                             const std::vector<LoraSlice>& slices, double scale) {
  Tensor out = torch::linear(x, weight, bias);
  for (const auto& slice : slices) {
    const Tensor input = slice.mask.defined() ? x * kept(slice.mask, torch::ones_like(x)) : x;
    const Tensor update =
        torch::linear(torch::linear(input, slice.a.to(x.scalar_type())), (slice.b * scale).to(x.scalar_type()));
    out = out + torch::constant_pad_nd(update, {slice.begin, out.size(-1) - slice.begin - update.size(-1)});
  }
  return out;
}

}  // namespace precis

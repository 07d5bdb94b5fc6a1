#include "precis/nn/lora_linear.h"

#include <ATen/Parallel.h>
#include <ATen/ops/addmm_cpu_dispatch.h>
#include <ATen/ops/mm_cpu_dispatch.h>
#include <ATen/record_function.h>
#include <torch/autograd.h>
#include <torch/types.h>

#include "precis/nn/dropout.h"
#include "precis/nn/linear.h"
#include "row_shares.h"

namespace precis {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

// Autograd functions do not accept undefined tensors; an empty one means "none".
bool given(const Tensor& t) { return t.numel() > 0; }
Tensor or_empty(const Tensor& t, const Tensor& like) { return t.defined() ? t : torch::empty({0}, like.options()); }

// Slices with the same input share their products with it: all of them, or, with masks, each one alone.
struct Group {
  size_t begin = 0, end = 0;
};
std::vector<Group> groups_of(size_t slices, bool masked) {
  if (!masked) return {{0, slices}};
  std::vector<Group> out;
  for (size_t i = 0; i < slices; ++i) out.push_back({i, i + 1});
  return out;
}

// One slice's part of a product: to += scale low by.
struct Update {
  Tensor to, low, by;  // [R, out of the slice], [R, rank], [rank, out of the slice]
};

// The updates of out [R, out], given low = rows A^T [R, sum of ranks].
std::vector<Update> updates_of(const Tensor& out, const Tensor& low, const LowRank& adapters) {
  std::vector<Update> updates;
  int64_t at = 0;
  for (size_t i = 0; i < adapters.b.size(); ++i) {
    const Tensor& b = adapters.b[i];
    updates.push_back({out.narrow(1, adapters.begins[i], b.size(0)), low.narrow(1, at, b.size(1)), b.t()});
    at += b.size(1);
  }
  return updates;
}

struct Product {
  Tensor out, low;  // rows W^T + bias with the updates [R, out], and rows A^T [R, sum of ranks]
};

// A product and its updates without autograd. If rows are split across threads, each thread keeps its rows in its cache
// from the first product to the last.
Product product(const Tensor& rows, const Tensor& weight, const Tensor& bias, const LowRank& adapters, double scale) {
  const auto shares = row_shares(rows, weight);
  if (shares.empty()) {
    const Product made{times_transposed(rows, weight), times_transposed(rows, adapters.a)};
    if (given(bias)) made.out.add_(bias);
    for (const auto& u : updates_of(made.out, made.low, adapters)) u.to.addmm_(u.low, u.by, 1, scale);
    return made;
  }
  std::vector<c10::IValue> factors = {rows, weight, adapters.a};
  factors.insert(factors.end(), adapters.b.begin(), adapters.b.end());
  RECORD_FUNCTION("precis::lora_linear", factors);
  const Product made{torch::empty({rows.size(0), weight.size(0)}, rows.options()),
                     torch::empty({rows.size(0), adapters.a.size(0)}, rows.options())};
  struct Task {
    Tensor rows, out, low;
    std::vector<Update> updates;
  };
  std::vector<Task> tasks;
  for (const auto& [first, n] : shares) {
    const Tensor out = made.out.narrow(0, first, n), low = made.low.narrow(0, first, n);
    tasks.push_back({rows.narrow(0, first, n), out, low, updates_of(out, low, adapters)});
  }
  const Tensor by = weight.t(), by_a = adapters.a.t();
  at::parallel_for(0, static_cast<int64_t>(tasks.size()), 1, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) {
      Task& task = tasks[static_cast<size_t>(i)];
      given(bias) ? at::cpu::addmm_out(task.out, bias, task.rows, by) : at::cpu::mm_out(task.out, task.rows, by);
      at::cpu::mm_out(task.low, task.rows, by_a);
      for (auto& u : task.updates) at::cpu::addmm_(u.to, u.low, u.by, 1, scale);
    }
  });
  return made;
}

// to = scale a b. On the CPU the product is rounded before scaling; a GPU does both in one kernel.
void put_scaled_product(Tensor to, const Tensor& a, const Tensor& b, double scale) {
  a.device().is_cpu() ? to.copy_(torch::mm(a, b)).mul_(scale) : at::addmm_out(to, to, a, b, 0, scale);
}

Tensor in_shape_of(const Tensor& x, const Tensor& rows) {
  std::vector<int64_t> shape = x.sizes().vec();
  shape.back() = rows.size(1);
  return rows.view(shape);
}

struct InputHolder : torch::CustomClassHolder {
  explicit InputHolder(std::function<Tensor(const Tensor&)> m) : make(std::move(m)) {}
  std::function<Tensor(const Tensor&)> make;
};

class LoraLinear : public torch::autograd::Function<LoraLinear> {
 public:
  // tensors: a, b and mask (may be empty) of each slice; either all have a mask or none.
  static Tensor forward(AutogradContext* context, const Tensor& source, const Tensor& weight, const Tensor& bias,
                        at::TensorList tensors, std::vector<int64_t> begins, double scale,
                        const c10::intrusive_ptr<InputHolder>& input) {
    const Tensor x = LinearInput{source, input->make}.rows(), rows = x.flatten(0, -2);
    const bool masked = given(tensors[2]);
    variable_list saved = {source, weight};
    Tensor out = masked ? times_transposed(rows, weight) : Tensor();
    if (masked && given(bias)) out.add_(bias);
    for (const Group& group : groups_of(begins.size(), masked)) {
      std::vector<LoraSlice> slices;
      for (size_t i = group.begin; i < group.end; ++i)
        slices.push_back({begins[i], tensors[3 * i], tensors[3 * i + 1], {}});
      const LowRank adapters = low_rank(slices, x.scalar_type());
      const Tensor& mask = tensors[3 * group.begin + 2];
      Tensor low;
      if (masked) {
        low = times_transposed(kept(mask, rows), adapters.a);
        for (const auto& u : updates_of(out, low, adapters)) u.to.addmm_(u.low, u.by, 1, scale);
      } else {
        const Product made = product(rows, weight, bias, adapters, scale);
        out = made.out;
        low = made.low;
      }
      saved.insert(saved.end(), {adapters.a, mask, low});
      saved.insert(saved.end(), adapters.b.begin(), adapters.b.end());
    }
    context->save_for_backward(saved);
    context->saved_data["input"] = c10::IValue::make_capsule(input);
    context->saved_data["begins"] = begins;
    context->saved_data["scale"] = scale;
    context->saved_data["masked"] = masked;
    return in_shape_of(x, out);
  }

  static variable_list backward(AutogradContext* context, variable_list upstream) {
    const variable_list saved = context->get_saved_variables();
    const Tensor& weight = saved[1];
    const auto input = c10::static_intrusive_pointer_cast<InputHolder>(context->saved_data["input"].toCapsule());
    Tensor source = saved[0], x = source;
    if (input->make) {
      const at::AutoGradMode recording(true);
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
        put_scaled_product(g_low.narrow(1, at, b.size(1)), own, b, scale);
        g_b.push_back(torch::mm(own.t(), low.narrow(1, at, b.size(1))).to(torch::kFloat).mul_(scale));
        at += b.size(1);
      }
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

LowRank low_rank(const std::vector<LoraSlice>& slices, at::ScalarType dtype) {
  LowRank out;
  std::vector<Tensor> stacked;
  for (const auto& slice : slices) {
    stacked.push_back(slice.a.to(dtype));
    out.b.push_back(slice.b.to(dtype));
    out.begins.push_back(slice.begin);
  }
  out.a = stacked.size() == 1 ? stacked.front() : torch::cat(stacked);
  return out;
}

Tensor lora_linear(const LinearInput& x, const Tensor& weight, const Tensor& bias, const LowRank& adapters,
                   double scale) {
  const at::NoGradGuard no_graph;
  const Tensor rows = x.rows();
  return in_shape_of(rows, product(rows.flatten(0, -2), weight, or_empty(bias, rows), adapters, scale).out);
}

namespace {

// scale B(A(mask x)) of each slice at its columns, rows [n, in] to [n, out].
Tensor low_rank_updates(const Tensor& x, const std::vector<LoraSlice>& slices, double scale, int64_t out_width) {
  Tensor out;
  for (const auto& slice : slices) {
    const Tensor input = slice.mask.defined() ? x * kept(slice.mask, torch::ones_like(x)) : x;
    const Tensor update =
        torch::linear(torch::linear(input, slice.a.to(x.scalar_type())), (slice.b * scale).to(x.scalar_type()));
    const Tensor placed = torch::constant_pad_nd(update, {slice.begin, out_width - slice.begin - update.size(-1)});
    out = out.defined() ? out + placed : placed;
  }
  return out;
}

}  // namespace

Tensor lora_linear_at(const Tensor& index, const Tensor& x, const Tensor& weight, const Tensor& bias,
                      const std::vector<LoraSlice>& slices, double scale) {
  const Tensor out = frozen_linear(x, weight, bias);
  if (slices.empty() || index.size(0) == 0) return out;
  const Tensor updates = low_rank_updates(x.flatten(0, -2).index_select(0, index), slices, scale, out.size(-1));
  return out.flatten(0, -2).index_add(0, index, updates).view(out.sizes());
}

Tensor reference_lora_linear(const Tensor& x, const Tensor& weight, const Tensor& bias,
                             const std::vector<LoraSlice>& slices, double scale) {
  const Tensor out = torch::linear(x, weight, bias);
  return slices.empty() ? out : out + low_rank_updates(x, slices, scale, out.size(-1));
}

}  // namespace precis

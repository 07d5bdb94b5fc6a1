#include "precis/nn/gated_mixture.h"

#include <torch/csrc/autograd/custom_function.h>
#include <torch/types.h>

#include <algorithm>
#include <cmath>
#include <limits>

#include "processors.h"

namespace precis {
namespace {

using States = std::vector<Tensor>;
using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

constexpr int64_t tokens_per_task = 8;

// One pass over K states' rows [tokens, D], token by token.
template <class T>
struct Pass {
  const T* const* states;
  int64_t count, width;
  const float* in;
  int64_t step;  // stride of `in` between tokens
  float* out;
};

// out [tokens, D]: the sum of the token's states weighted by in[0 .. K - 1].
template <class T>
PRECIS_INLINE void add_up(const Pass<T>& p, int64_t begin, int64_t end) {
  for (int64_t t = begin; t < end; ++t) {
    float* out = p.out + t * p.width;
    for (int64_t i = 0; i < p.width; ++i) out[i] = 0;
    for (int64_t k = 0; k < p.count; ++k) {
      const float factor = p.in[t * p.step + k];
      if (std::abs(factor) < std::numeric_limits<float>::min())
        continue;  // denormal products are a hundred times slower
      const T* row = p.states[k] + t * p.width;
      for (int64_t i = 0; i < p.width; ++i) out[i] += factor * widened(row[i]);
    }
  }
}

// out [tokens, K]: dot products of the token's states with its row in[0 .. D - 1].
template <class T>
PRECIS_INLINE void multiply(const Pass<T>& p, int64_t begin, int64_t end) {
  for (int64_t t = begin; t < end; ++t) {
    const float* x = p.in + t * p.step;
    for (int64_t k = 0; k < p.count; ++k) {
      const T* row = p.states[k] + t * p.width;
      p.out[t * p.count + k] =
          sum_of(p.width, [row, x](int64_t i) PRECIS_ALWAYS_INLINE { return widened(row[i]) * x[i]; });
    }
  }
}

template <class T>
void run_as(const States& states, const Tensor& in, int64_t step, bool adds, Tensor& out) {
  std::vector<const T*> rows;
  for (const auto& state : states) rows.push_back(state.const_data_ptr<T>());
  const int64_t width = states.front().size(-1);
  const Pass<T> pass{rows.data(), static_cast<int64_t>(rows.size()), width, in.const_data_ptr<float>(),
                     step,        out.mutable_data_ptr<float>()};
  for_rows(states.front().numel() / width, tokens_per_task,
           [pass, adds](int64_t begin, int64_t end)
               PRECIS_ALWAYS_INLINE { adds ? add_up(pass, begin, end) : multiply(pass, begin, end); });
}

Tensor run(const States& states, const Tensor& in, int64_t step, bool adds) {
  std::vector<int64_t> shape = states.front().sizes().vec();
  if (!adds) shape.back() = static_cast<int64_t>(states.size());
  Tensor out = torch::empty(shape, torch::kFloat);
  with_type_of(states.front().scalar_type(), [&]<class T>(T) { run_as<T>(states, in, step, adds, out); });
  return out;
}

// Sum over k of weights [K] times the states.
Tensor sum_rows(const States& states, const Tensor& weights) { return run(states, weights, 0, true); }

// Sum over k of factors [n, L, K] times the token's states.
Tensor mix(const States& states, const Tensor& factors) {
  return run(states, factors, static_cast<int64_t>(states.size()), true);
}

// Dot products of every token's states with its row of `x` [n, L, D]: [n, L, K].
Tensor products(const States& states, const Tensor& x) { return run(states, x, x.size(-1), false); }

class WeightedSum : public torch::autograd::Function<WeightedSum> {
 public:
  static Tensor forward(AutogradContext* context, const States& states, const Tensor& weights) {
    context->saved_data["states"] = states;
    return sum_rows(states, weights.contiguous());
  }
  static variable_list backward(AutogradContext* context, variable_list upstream) {
    const States states = context->saved_data["states"].toTensorVector();
    return {Tensor(), products(states, upstream[0].contiguous()).flatten(0, -2).sum(0)};
  }
};

class Mixture : public torch::autograd::Function<Mixture> {
 public:
  static variable_list forward(AutogradContext* context, const States& states, const Tensor& query,
                               const Tensor& offset, double scale) {
    const Tensor gate = ((products(states, query.contiguous()) + offset) * scale).softmax(-1);
    context->saved_data["states"] = states;
    context->saved_data["scale"] = scale;
    context->save_for_backward({gate});
    return {mix(states, gate), gate};
  }
  static variable_list backward(AutogradContext* context, variable_list upstream) {
    const States states = context->saved_data["states"].toTensorVector();
    const double scale = context->saved_data["scale"].toDouble();
    const Tensor gate = context->get_saved_variables()[0];
    Tensor by_gate = products(states, upstream[0].contiguous());
    if (upstream[1].defined()) by_gate = by_gate + upstream[1];
    const Tensor by_logit = (gate * (by_gate - (gate * by_gate).sum(-1, true)) * scale).contiguous();
    return {Tensor(), mix(states, by_logit), by_logit, Tensor()};
  }
};

// The fast path: on the CPU, in fp32 or bf16, with contiguous states that need no gradient.
bool is_fast(const States& states) {
  const auto dtype = states.front().scalar_type();
  return (dtype == at::kFloat || dtype == at::kBFloat16) &&
         std::all_of(states.begin(), states.end(), [&](const Tensor& state) {
           return state.device().is_cpu() && state.scalar_type() == dtype && state.is_contiguous() &&
                  !state.requires_grad();
         });
}

// The slow path: all states as one tensor, [n, L, K, D] fp32. More memory, few kernels.
Tensor stacked(const States& states) { return torch::stack(states, -2).to(torch::kFloat); }

GatedMixture mix_stacked(const Tensor& h, const Tensor& query, const Tensor& offset, double scale) {
  const Tensor logits = torch::matmul(h, query.unsqueeze(-1)).squeeze(-1);
  const Tensor gate = ((logits + offset) * scale).softmax(-1);
  return {torch::matmul(gate.unsqueeze(-2), h).squeeze(-2), gate};
}

}  // namespace

Tensor weighted_sum(const States& states, const Tensor& weights) {
  return is_fast(states) ? WeightedSum::apply(states, weights) : torch::matmul(weights, stacked(states));
}

Tensor reference_weighted_sum(const States& states, const Tensor& weights) {
  Tensor sum;
  for (size_t k = 0; k < states.size(); ++k) {
    const Tensor part = states[k].to(torch::kFloat) * weights[static_cast<int64_t>(k)];
    sum = sum.defined() ? sum + part : part;
  }
  return sum;
}

GatedMixture gated_mixture(const States& states, const Tensor& query, const Tensor& offset, double scale) {
  if (!is_fast(states)) return mix_stacked(stacked(states), query, offset, scale);
  const variable_list out = Mixture::apply(states, query, offset, scale);
  return {out[0], out[1]};
}

GatedMixture reference_gated_mixture(const States& states, const Tensor& query, const Tensor& offset, double scale) {
  std::vector<Tensor> logits;
  for (const auto& state : states) logits.push_back((state.to(torch::kFloat) * query).sum(-1));
  const Tensor gate = ((torch::stack(logits, -1) + offset) * scale).softmax(-1);
  Tensor mixture;
  for (size_t k = 0; k < states.size(); ++k) {
    const Tensor part = states[k].to(torch::kFloat) * gate.select(-1, static_cast<int64_t>(k)).unsqueeze(-1);
    mixture = mixture.defined() ? mixture + part : part;
  }
  return {mixture, gate};
}

}  // namespace precis

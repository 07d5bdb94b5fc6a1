#include "precis/nn/gated_mixture.h"

#include <ATen/Parallel.h>
#include <torch/torch.h>

#include <algorithm>
#include <cmath>

namespace precis {
namespace {

using States = std::vector<Tensor>;
using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

constexpr int64_t tokens_per_task = 8, lanes = 16;

// Several running sums, so that the compiler may add in vectors.
template <class T>
float dot(const T* a, const float* b, int64_t n) {
  float sums[lanes] = {};
  int64_t i = 0;
  for (; i + lanes <= n; i += lanes) {
    for (int64_t j = 0; j < lanes; ++j) sums[j] += static_cast<float>(a[i + j]) * b[i + j];
  }
  float sum = 0;
  for (const float part : sums) sum += part;
  for (; i < n; ++i) sum += static_cast<float>(a[i]) * b[i];
  return sum;
}

template <class T>
void add_scaled(const T* x, float factor, int64_t n, float* to) {
  for (int64_t i = 0; i < n; ++i) to[i] += factor * static_cast<float>(x[i]);
}

// The states' rows: row t of state k is rows(k)[t D ...].
template <class T>
class StateRows {
 public:
  explicit StateRows(const States& states) : width_(states.front().size(-1)) {
    for (const auto& state : states) data_.push_back(state.const_data_ptr<T>());
  }
  const T* at(size_t k, int64_t token) const { return data_[k] + token * width_; }
  size_t count() const { return data_.size(); }
  int64_t width() const { return width_; }

 private:
  std::vector<const T*> data_;
  int64_t width_;
};

template <class F>
void for_tokens(const States& states, F f) {
  const int64_t tokens = states.front().numel() / states.front().size(-1);
  at::parallel_for(0, tokens, tokens_per_task, [&](int64_t begin, int64_t end) {
    for (int64_t token = begin; token < end; ++token) f(token);
  });
}

// `f` with the rows of the states' dtype.
template <class F>
void with_rows(const States& states, F f) {
  states.front().scalar_type() == at::kBFloat16 ? f(StateRows<c10::BFloat16>(states)) : f(StateRows<float>(states));
}

Tensor sum_rows(const States& states, const Tensor& weights) {
  Tensor out = torch::zeros(states.front().sizes(), torch::kFloat);
  const float* w = weights.const_data_ptr<float>();
  float* to = out.mutable_data_ptr<float>();
  with_rows(states, [&](const auto& rows) {
    for_tokens(states, [&](int64_t t) {
      for (size_t k = 0; k < rows.count(); ++k) add_scaled(rows.at(k, t), w[k], rows.width(), to + t * rows.width());
    });
  });
  return out;
}

// Dot products of every token's states with its row of `x` [n, L, D]: [n, L, K].
Tensor products(const States& states, const Tensor& x) {
  std::vector<int64_t> shape(x.sizes().begin(), x.sizes().end());
  shape.back() = static_cast<int64_t>(states.size());
  Tensor out = torch::empty(shape, torch::kFloat);
  const float* in = x.const_data_ptr<float>();
  float* to = out.mutable_data_ptr<float>();
  with_rows(states, [&](const auto& rows) {
    const auto K = static_cast<int64_t>(rows.count());
    for_tokens(states, [&](int64_t t) {
      for (int64_t k = 0; k < K; ++k)
        to[t * K + k] = dot(rows.at(static_cast<size_t>(k), t), in + t * rows.width(), rows.width());
    });
  });
  return out;
}

// Sum over k of factors [n, L, K] times the token's states.
Tensor mix(const States& states, const Tensor& factors) {
  Tensor out = torch::zeros(states.front().sizes(), torch::kFloat);
  const float* f = factors.const_data_ptr<float>();
  float* to = out.mutable_data_ptr<float>();
  with_rows(states, [&](const auto& rows) {
    const size_t K = rows.count();
    for_tokens(states, [&](int64_t t) {
      for (size_t k = 0; k < K; ++k)
        add_scaled(rows.at(k, t), f[static_cast<size_t>(t) * K + k], rows.width(), to + t * rows.width());
    });
  });
  return out;
}

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

// The fast path: on the CPU, in a dtype it knows, all states contiguous, and none of them asks for a gradient.
bool is_fast(const States& states) {
  const auto dtype = states.front().scalar_type();
  return (dtype == at::kFloat || dtype == at::kBFloat16) &&
         std::all_of(states.begin(), states.end(), [&](const Tensor& state) {
           return state.device().is_cpu() && state.scalar_type() == dtype && state.is_contiguous() &&
                  !state.requires_grad();
         });
}

}  // namespace

Tensor weighted_sum(const States& states, const Tensor& weights) {
  return is_fast(states) ? WeightedSum::apply(states, weights) : reference_weighted_sum(states, weights);
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
  if (!is_fast(states)) return reference_gated_mixture(states, query, offset, scale);
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

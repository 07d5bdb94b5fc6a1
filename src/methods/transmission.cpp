#include "precis/methods/transmission.h"

#include <torch/types.h>

#include <cmath>

#include "precis/core/error.h"
#include "precis/nn/attention.h"
#include "precis/nn/gated_mixture.h"

namespace precis {
namespace {

constexpr double no_mass = -1e30;  // log of zero, kept finite so that gradients stay finite

}  // namespace

DepthwiseGate::DepthwiseGate(int64_t states, int64_t width, int64_t gate_width, double temperature,
                             at::Generator generator)
    : scale_(1 / (temperature * std::sqrt(static_cast<double>(gate_width)))) {
  mix_logits_ = register_parameter("mix_logits", torch::zeros({states}));
  layer_embedding_ =
      register_parameter("layer_embedding", torch::empty({states, gate_width}).normal_(0, 0.02, generator));
  q_ = register_linear(*this, "q", width, gate_width, generator);
  k_ = register_linear(*this, "k", width, gate_width, generator);
  v_ = register_linear(*this, "v", width, width, generator);
}

namespace {

void make_identity(const Tensor& weight, const Tensor& bias) {
  const at::NoGradGuard no_gradient;
  Tensor(weight).copy_(torch::eye(weight.size(0), weight.options()));
  Tensor(bias).zero_();
}

}  // namespace

void DepthwiseGate::begin_as_identity() { make_identity(v_.weight, v_.bias); }

GateOutput DepthwiseGate::forward(const std::vector<Tensor>& states) const {
  const Tensor q = torch::linear(weighted_sum(states, mix_logits_.softmax(0)), q_.weight, q_.bias);  // [n, L, e]
  // W_k^T q [n, L, D] replaces the keys, q . E_k their layer embeddings.
  const GatedMixture mixed =
      gated_mixture(states, torch::matmul(q, k_.weight), torch::linear(q, layer_embedding_), scale_);
  return {torch::linear(mixed.mixture, v_.weight, v_.bias), mixed.gate};
}

GateOutput DepthwiseGate::forward_literal(const std::vector<Tensor>& states) const {
  const Tensor h = torch::stack(states, 2).to(torch::kFloat);                   // [n, L, N + 1, D]
  const Tensor keys = torch::linear(h, k_.weight, k_.bias) + layer_embedding_;  // [n, L, N + 1, e]
  const Tensor mixed = (h * mix_logits_.softmax(0).unsqueeze(-1)).sum(2);       // [n, L, D]
  const Tensor q = torch::linear(mixed, q_.weight, q_.bias);                    // [n, L, e]
  const Tensor gate = ((keys * q.unsqueeze(2)).sum(-1) * scale_).softmax(-1);
  const Tensor values = torch::linear(h, v_.weight, v_.bias);  // [n, L, N + 1, D]
  return {(values * gate.unsqueeze(-1)).sum(2), gate};
}

std::vector<int64_t> run_boundaries(int64_t window, int64_t ratio) {
  const int64_t runs = (window + ratio - 1) / ratio, base = window / runs, longer = window % runs;
  std::vector<int64_t> boundaries = {0};
  for (int64_t j = 0; j < runs; ++j) boundaries.push_back(boundaries.back() + base + (j < longer ? 1 : 0));
  return boundaries;
}

Tensor sinkhorn(const Tensor& cost, const Tensor& a, const Tensor& b, double epsilon, int64_t iterations,
                bool drop_empty) {
  const auto log_mass = [](const Tensor& mass) {
    return torch::where(mass > 0, mass.clamp_min(1e-38).log(), torch::full({}, no_mass, mass.options()));
  };
  const Tensor log_a = log_mass(a), log_b = log_mass(b), kernel = -cost / epsilon;
  Tensor v = torch::zeros_like(b), u;
  if (drop_empty) v = v.masked_fill(b <= 0, no_mass);
  for (int64_t i = 0; i < iterations; ++i) {
    u = log_a - (v.unsqueeze(-2) + kernel).logsumexp(-1);
    v = log_b - (u.unsqueeze(-1) + kernel).logsumexp(-2);
  }
  const Tensor plan = (u.unsqueeze(-1) + v.unsqueeze(-2) + kernel).exp();
  return plan * (a > 0).unsqueeze(-1) * (b > 0).unsqueeze(-2);
}

WidthwiseTransport::NormedLinear WidthwiseTransport::register_normed_linear(const std::string& name, int64_t in,
                                                                            int64_t out, at::Generator generator) {
  auto module = register_module(name, std::make_shared<torch::nn::Module>());
  auto norm = module->register_module("norm", std::make_shared<torch::nn::Module>());
  const Tensor weight = norm->register_parameter("weight", torch::ones({in})),
               bias = norm->register_parameter("bias", torch::zeros({in}));
  const LinearParameters linear = register_linear(*module, "proj", in, out, generator);
  return {weight, bias, linear.weight, linear.bias};
}

Tensor WidthwiseTransport::NormedLinear::operator()(const Tensor& x) const {
  return torch::linear(torch::layer_norm(x, {x.size(-1)}, norm_weight, norm_bias, 1e-5), weight, bias);
}

WidthwiseTransport::WidthwiseTransport(int64_t width, TransportOptions options, at::Generator generator)
    : options_(options), boundaries_(run_boundaries(options.window, options.ratio)) {
  cost_ = register_normed_linear("cost", width, options.metric_width, generator);
  mass_ = register_normed_linear("mass", width, 1, generator);
  value_ = register_normed_linear("value", width, width, generator);
  if (options.identity) make_identity(value_.weight, value_.bias);
  const at::NoGradGuard no_gradient;
  mass_.weight.zero_();
  mass_.bias.zero_();
}

void WidthwiseTransport::set_ratio(int64_t ratio) {
  options_.ratio = ratio;
  boundaries_ = run_boundaries(options_.window, ratio);
}

int64_t WidthwiseTransport::slots_of(int64_t tokens) const {
  const int64_t runs = static_cast<int64_t>(boundaries_.size()) - 1, tail = tokens % options_.window;
  int64_t slots = tokens / options_.window * runs;
  for (int64_t j = 0; j < runs; ++j) slots += boundaries_[static_cast<size_t>(j)] < tail ? 1 : 0;
  return slots;
}

int64_t WidthwiseTransport::end_of_run(int64_t slot) const {
  const int64_t runs = static_cast<int64_t>(boundaries_.size()) - 1;
  return slot / runs * options_.window + boundaries_[static_cast<size_t>(slot % runs + 1)];
}

TransportOutput WidthwiseTransport::forward(const Tensor& x, const Tensor& lengths) const {
  const int64_t n = x.size(0), L = x.size(1), D = x.size(2), W = options_.window, windows = (L + W - 1) / W;
  const int64_t M = static_cast<int64_t>(boundaries_.size()) - 1;
  const Tensor tokens = torch::constant_pad_nd(x, {0, 0, 0, windows * W - L}).view({n, windows, W, D});
  const Tensor present = length_mask(lengths.to(x.device()), windows * W).view({n, windows, W});  // bool

  Tensor runs = torch::zeros({W, M}, x.options());  // 1 where token i belongs to run j
  for (int64_t j = 0; j < M; ++j) {
    runs.slice(0, boundaries_[static_cast<size_t>(j)], boundaries_[static_cast<size_t>(j) + 1]).select(1, j).fill_(1);
  }
  const Tensor in_run = present.to(torch::kFloat).unsqueeze(-1) * runs;  // [n, w, W, M]
  const Tensor tokens_of_run = in_run.sum(2);                            // [n, w, M]
  const Tensor seeds =
      torch::matmul(in_run.transpose(2, 3), tokens) / tokens_of_run.clamp_min(1).unsqueeze(-1);  // [n, w, M, D]

  const Tensor is_slot = tokens_of_run > 0;
  const auto direction = [&](const Tensor& rows) {
    const Tensor mapped = cost_(rows);
    return mapped / mapped.norm(2, {-1}, true).clamp_min(1e-8).expand_as(mapped);
  };
  const Tensor cosine = torch::matmul(direction(tokens), direction(seeds).transpose(2, 3));
  Tensor apart = 1 - cosine;
  if (options_.locality > 0) {
    const Tensor slot = torch::arange(M, x.options()),
                 own = runs.argmax(1).to(slot.scalar_type());  // [W]: run of each token
    apart = apart + options_.locality * (own.unsqueeze(1) - slot.unsqueeze(0)).abs();
  }
  const Tensor cost = apart * present.unsqueeze(-1) * is_slot.unsqueeze(2);

  const Tensor logits = mass_(tokens).squeeze(-1) / options_.mass_temperature;
  const Tensor count = present.sum(-1, true).clamp_min(1).to(torch::kFloat);
  const Tensor share = logits.masked_fill(present.logical_not(), no_mass).softmax(-1);
  const Tensor mass = ((1 - options_.mass_floor) * share + options_.mass_floor / count) * present;
  const Tensor target = is_slot / is_slot.sum(-1, true).clamp_min(1).to(torch::kFloat);

  const Tensor plan = sinkhorn(cost, mass, target, options_.epsilon, options_.iterations);
  const Tensor moved = torch::matmul(plan.transpose(2, 3), value_(tokens));  // [n, w, M, D]
  const Tensor slots = moved / target.masked_fill(is_slot.logical_not(), 1).unsqueeze(-1);
  return {seeds, cost, mass, target, plan, slots};
}

}  // namespace precis

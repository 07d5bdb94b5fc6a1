#include "precis/compress/projector.h"

#include <torch/types.h>

#include <cmath>

namespace precis {

LinearParameters register_linear(torch::nn::Module& parent, const std::string& name, int64_t in, int64_t out,
                                 at::Generator generator) {
  auto module = parent.register_module(name, std::make_shared<torch::nn::Module>());
  const double bound = 1 / std::sqrt(static_cast<double>(in));
  const Tensor weight = torch::empty({out, in}).uniform_(-bound, bound, generator),
               bias = torch::empty({out}).uniform_(-bound, bound, generator);
  return {module->register_parameter("weight", weight), module->register_parameter("bias", bias)};
}

std::shared_ptr<Projector> Projector::with_norm(int64_t width, at::Generator generator) {
  auto projector = std::make_shared<Projector>();
  auto norm = projector->register_module("norm", std::make_shared<torch::nn::Module>());
  projector->norm_weight_ = norm->register_parameter("weight", torch::ones({width}));
  projector->first_ = register_linear(*projector, "0", width, width, generator);
  projector->second_ = register_linear(*projector, "1", width, width, generator);
  return projector;
}

std::shared_ptr<Projector> Projector::zero(int64_t width, at::Generator generator) {
  auto projector = with_norm(width, std::move(generator));
  const at::NoGradGuard no_gradient;
  Tensor(projector->second_.weight).zero_();
  Tensor(projector->second_.bias).zero_();
  return projector;
}

std::shared_ptr<Projector> Projector::xavier(int64_t width, at::Generator generator) {
  auto projector = std::make_shared<Projector>();
  projector->first_ = register_linear(*projector, "0", width, width, generator);
  projector->second_ = register_linear(*projector, "1", width, width, generator);
  const at::NoGradGuard no_gradient;
  const double bound = 0.4 * std::sqrt(6.0 / static_cast<double>(2 * width));
  for (const auto& linear : {projector->first_, projector->second_}) {
    Tensor(linear.weight).uniform_(-bound, bound, generator);
    Tensor(linear.bias).zero_();
  }
  return projector;
}

Tensor Projector::forward(const Tensor& rows) const {
  Tensor x = rows.to(first_.weight.scalar_type());
  if (norm_weight_.defined()) x = torch::rms_norm(x, {x.size(-1)}, norm_weight_, 1e-6);
  return torch::linear(torch::gelu(torch::linear(x, first_.weight, first_.bias)), second_.weight, second_.bias);
}

}  // namespace precis

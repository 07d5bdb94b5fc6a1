#include "precis/model/sampler.h"

#include <ATen/CPUGeneratorImpl.h>
#include <torch/types.h>

#include <algorithm>
#include <cmath>

namespace precis {
namespace {

// Below it, sampling is argmax up to ties, and much smaller values would overflow.
constexpr double least_temperature = 1e-4;

}  // namespace

Sampler::Sampler(const GenerateOptions& options)
    : options_(options), generator_(at::detail::createCPUGenerator(options.seed)) {}

bool Sampler::ends(int64_t id) const {
  return std::find(options_.end_ids.begin(), options_.end_ids.end(), id) != options_.end_ids.end();
}

Tensor Sampler::next(const Tensor& all) {
  // Models may have more rows than their tokenizer has tokens.
  const int64_t n = options_.vocabulary;
  Tensor logits = n == 0 || n >= all.size(-1) ? all : all.narrow(-1, 0, n);
  if (options_.temperature < least_temperature) return logits.argmax(-1);
  logits = logits.cpu().to(torch::kFloat) / options_.temperature;
  if (options_.top_k > 0 && options_.top_k < logits.size(-1)) {
    const Tensor smallest_kept = std::get<0>(logits.topk(options_.top_k)).narrow(-1, options_.top_k - 1, 1);
    logits = logits.masked_fill(logits < smallest_kept, -INFINITY);
  }
  if (options_.top_p < 1) {
    const auto [sorted, order] = logits.sort(-1, true);
    const Tensor before = sorted.softmax(-1).cumsum(-1) - sorted.softmax(-1);  // mass of likelier tokens
    logits = logits.masked_fill(
        torch::zeros_like(before, torch::kBool).scatter(-1, order, before >= std::max(options_.top_p, 1e-9)),
        -INFINITY);
  }
  return logits.softmax(-1).multinomial(1, false, generator_).squeeze(-1);
}

}  // namespace precis

#include "precis/train/throughput.h"

#include <torch/torch.h>

#include <algorithm>
#include <chrono>

namespace precis {

double training_operations_per_token(const DecoderConfig& c) {
  const double attention = static_cast<double>(c.hidden * c.head_dim * (2 * c.heads + 2 * c.kv_heads)),
               feed_forward = static_cast<double>(3 * c.hidden * c.intermediate);
  return 4 * static_cast<double>(c.layers) * (attention + feed_forward);
}

double matrix_peak(at::ScalarType dtype, at::Device device) {
  constexpr int64_t size = 1024;
  const torch::NoGradGuard no_gradient;
  const Tensor a = torch::ones({size, size}, torch::TensorOptions().dtype(dtype).device(device)), b = a.clone();
  double best = 1e30;
  for (int i = 0; i < 5; ++i) {
    const auto start = std::chrono::steady_clock::now();
    torch::matmul(a, b).sum().item<double>();  // waits for the device
    best = std::min(best, std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count());
  }
  return 2.0 * size * size * size / best;
}

}  // namespace precis

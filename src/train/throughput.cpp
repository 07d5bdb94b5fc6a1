#include "precis/train/throughput.h"

#include <torch/torch.h>

#include <algorithm>
#include <chrono>
#include <vector>

#include "precis/nn/row_linear.h"

namespace precis {

double training_operations_per_token(const DecoderConfig& c) {
  const double attention = static_cast<double>(c.hidden * c.head_dim * (2 * c.heads + 2 * c.kv_heads)),
               feed_forward = static_cast<double>(3 * c.hidden * c.intermediate);
  return 4 * static_cast<double>(c.layers) * (attention + feed_forward);
}

double activation_bytes(const DecoderConfig& c, int64_t bytes_per_value, const PassRows& rows) {
  const int64_t q = c.heads * c.head_dim, kv = c.kv_heads * c.head_dim;
  // Of a row in a layer: the input of each norm and of each product, what attention and SwiGLU keep.
  const int64_t input = c.hidden, layer = 4 * c.hidden + (q + 2 * kv) + (q + 2 * kv) + 2 * q + 3 * c.intermediate;
  const auto kept = [&](int64_t n) { return n * (rows.recompute ? c.layers * input + 2 * layer : c.layers * layer); };
  const int64_t values = kept(rows.decoder) + (rows.encoder_takes_gradient ? kept(rows.encoder) : rows.encoder * layer);
  // Logits come in blocks of 64 rows, in fp32, with their gradient.
  const int64_t logits = std::min<int64_t>(rows.supervised, 64) * c.vocabulary * 4 * 2;
  return static_cast<double>(values * bytes_per_value + logits);
}

double matrix_peak(at::ScalarType dtype, at::Device device) {
  constexpr int64_t size = 1024;
  const torch::NoGradGuard no_gradient;
  const Tensor a = torch::ones({size, size}, torch::TensorOptions().dtype(dtype).device(device)), b = a.clone();
  double best = 1e30, all = 0;
  for (int i = 0; i < 5 && all < 1; ++i) {
    const auto start = std::chrono::steady_clock::now();
    torch::matmul(a, b)[0][0].item<double>();  // waits for the device
    const double seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
    best = std::min(best, seconds);
    all += seconds;
  }
  return 2.0 * size * size * size / best;
}

double memory_bandwidth() {
  constexpr int64_t out = 1 << 16, in = 1024;  // 256 MiB, more than any cache
  const RowWeight weight(torch::ones({out, in}));
  std::vector<float> x(in, 1), y(out);
  double best = 1e30;
  for (int i = 0; i < 5; ++i) {
    const auto start = std::chrono::steady_clock::now();
    weight.multiply(x.data(), 1, y.data());
    best = std::min(best, std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count());
  }
  return out * in * sizeof(float) / best;
}

}  // namespace precis

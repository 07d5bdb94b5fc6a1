#include "precis/train/throughput.h"

#include <torch/types.h>

#include <algorithm>
#include <chrono>
#include <functional>
#include <vector>

#include "precis/nn/device.h"
#include "precis/nn/row_linear.h"

namespace precis {

double training_operations_per_token(const DecoderConfig& c) {
  const double attention = static_cast<double>(c.hidden * c.head_dim * (2 * c.heads + 2 * c.kv_heads)),
               feed_forward = static_cast<double>(3 * c.hidden * c.intermediate);
  return 4 * static_cast<double>(c.layers) * (attention + feed_forward);
}

double activation_bytes(const DecoderConfig& c, int64_t bytes_per_value, const PassRows& rows) {
  const int64_t q = c.heads * c.head_dim, kv = c.kv_heads * c.head_dim;
  // Per row and layer: the inputs of norms and products, and the tensors that attention and SwiGLU keep.
  const int64_t input = c.hidden, layer = 4 * c.hidden + (q + 2 * kv) + (q + 2 * kv) + 2 * q + 3 * c.intermediate;
  const auto kept = [&](int64_t n) { return n * (rows.recompute ? c.layers * input + 2 * layer : c.layers * layer); };
  const int64_t values = kept(rows.decoder) + (rows.encoder_takes_gradient ? kept(rows.encoder) : rows.encoder * layer);
  // Logits in blocks of 64 rows, in fp32, with their gradient.
  const int64_t logits = std::min<int64_t>(rows.supervised, 64) * c.vocabulary * 4 * 2;
  return static_cast<double>(values * bytes_per_value + logits);
}

namespace {

// Seconds of the fastest of up to five runs, limited to about one second in total.
double best_of_five(at::Device device, const std::function<void()>& run) {
  double best = 1e30, all = 0;
  for (int i = 0; i < 5 && all < 1; ++i) {
    const auto start = std::chrono::steady_clock::now();
    run();
    wait_for(device);
    const double seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
    best = std::min(best, seconds);
    all += seconds;
  }
  return best;
}

}  // namespace

double matrix_peak(at::ScalarType dtype, at::Device device) {
  const int64_t size = device.is_cpu() ? 1024 : 8192;
  const at::NoGradGuard no_gradient;
  // Random, since products of constant matrices are faster on some GPUs.
  const Tensor a = torch::empty({size, size}).uniform_(-1, 1).to(device, dtype), b = a.clone();
  const double best = best_of_five(device, [&] { torch::matmul(a, b); });
  return 2.0 * static_cast<double>(size * size * size) / best;
}

double memory_bandwidth(at::Device device) {
  if (!device.is_cpu()) {
    const Tensor from = torch::ones({int64_t{1} << 30}, torch::TensorOptions().dtype(torch::kByte).device(device)),
                 to = torch::empty_like(from);
    return 2.0 * static_cast<double>(from.numel()) / best_of_five(device, [&] { Tensor(to).copy_(from); });
  }
  constexpr int64_t out = 1 << 16, in = 1024;  // 256 MiB, more than any cache
  const RowWeight weight(torch::ones({out, in}));
  std::vector<float> x(in, 1), y(out);
  return out * in * sizeof(float) / best_of_five(device, [&] { weight.multiply(x.data(), 1, y.data()); });
}

}  // namespace precis

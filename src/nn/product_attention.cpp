#include "precis/nn/product_attention.h"

#include <ATen/Parallel.h>
#include <torch/csrc/autograd/custom_function.h>
#include <torch/types.h>

#include <cmath>

#include "processors.h"

// Letters of this file: B batch, K key heads, G query heads per key head, T rows, S keys, d head width. The query heads
// of a group are rows of one product, so that no key is copied.
namespace precis {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

constexpr int64_t rows_per_task = 32, rows_per_block = 64;

// Rows [B, K, G T, S] of scores, which become weights; or of weights and their gradients, which become the scores'
// gradients.
template <class T>
struct Rows {
  T* scores;
  const T* weights;
  const bool* mask;  // row r's keys start at mask + r / (K G T) * mask_batch + r % T * mask_row
  int64_t mask_batch, mask_row, rows_of_batch, rows, keys;
  int64_t first;  // causal: row t sees the keys up to first + t; -1: all
};

// Masked softmax of each row. `buffer` holds S numbers.
template <class T>
PRECIS_INLINE void softmax(const Rows<T>& r, int64_t begin, int64_t end, float* buffer) {
  for (int64_t row = begin; row < end; ++row) {
    T* s = r.scores + row * r.keys;
    const int64_t t = row % r.rows, seen = r.first < 0 ? r.keys : std::min(r.first + t + 1, r.keys);
    for (int64_t j = 0; j < seen; ++j) buffer[j] = widened(s[j]);
    if (r.mask != nullptr) {
      const bool* mask = r.mask + row / r.rows_of_batch * r.mask_batch + t * r.mask_row;
      for (int64_t j = 0; j < seen; ++j) buffer[j] = mask[j] ? buffer[j] : -INFINITY;
    }
    const float top = highest_of(seen, [buffer](int64_t j) PRECIS_ALWAYS_INLINE { return buffer[j]; });
    const float from = top == -INFINITY ? 0 : top;
    for (int64_t j = 0; j < seen; ++j) buffer[j] = buffer[j] == -INFINITY ? 0.0F : exp_in_vectors(buffer[j] - from);
    const float sum = sum_of(seen, [buffer](int64_t j) PRECIS_ALWAYS_INLINE { return buffer[j]; });
    const float share = sum == 0 ? 0 : 1 / sum;
    for (int64_t j = 0; j < seen; ++j) narrow_into(s[j], buffer[j] * share);
    for (int64_t j = seen; j < r.keys; ++j) narrow_into(s[j], 0);
  }
}

// gradient = weights * (gradient - sum of weights * gradient), in place.
template <class T>
PRECIS_INLINE void softmax_backward(const Rows<T>& r, int64_t begin, int64_t end) {
  for (int64_t row = begin; row < end; ++row) {
    const T* w = r.weights + row * r.keys;
    T* g = r.scores + row * r.keys;
    const float mean = sum_of(r.keys, [w, g](int64_t j) PRECIS_ALWAYS_INLINE { return widened(w[j]) * widened(g[j]); });
    for (int64_t j = 0; j < r.keys; ++j) narrow_into(g[j], widened(w[j]) * (widened(g[j]) - mean));
  }
}

template <class T>
void run(Tensor& scores, const Tensor& weights, const Tensor& mask, int64_t rows, int64_t first) {
  const int64_t keys = scores.size(3), rows_of_batch = scores.size(1) * scores.size(2);
  Rows<T> r{scores.mutable_data_ptr<T>(),
            weights.defined() ? weights.const_data_ptr<T>() : nullptr,
            nullptr,
            0,
            0,
            rows_of_batch,
            rows,
            keys,
            first};
  if (mask.defined()) {
    r.mask = mask.const_data_ptr<bool>();
    r.mask_batch = mask.stride(0);
    r.mask_row = mask.stride(2);
  }
  at::parallel_for(0, scores.size(0) * rows_of_batch, rows_per_task, [&](int64_t begin, int64_t end) {
    std::vector<float> buffer(static_cast<size_t>(keys));
    const auto kernel = [r](int64_t from, int64_t to, float* space) PRECIS_ALWAYS_INLINE {
      r.weights == nullptr ? softmax(r, from, to, space) : softmax_backward(r, from, to);
    };
    run_kernel(kernel, begin, end, buffer.data());
  });
}

void run(Tensor& scores, const Tensor& weights, const Tensor& mask, int64_t rows, int64_t first) {
  with_type_of(scores.scalar_type(), [&]<class T>(T) { run<T>(scores, weights, mask, rows, first); });
}

double scale_of(const Tensor& q) { return 1 / std::sqrt(static_cast<double>(q.size(3))); }

// [B, H, T, d] as [B, K, G T, d].
Tensor in_groups(const Tensor& x, int64_t key_heads) {
  return x.reshape({x.size(0), key_heads, x.size(1) / key_heads * x.size(2), x.size(3)});
}

class ProductAttention : public torch::autograd::Function<ProductAttention> {
 public:
  // mask: [B, 1, T, S], the last stride is 1; empty: none.
  static Tensor forward(AutogradContext* context, const Tensor& q, const Tensor& keys, const Tensor& values,
                        const Tensor& mask, bool causal) {
    const Tensor k = keys.contiguous(), v = values.contiguous(), rows = in_groups(q * scale_of(q), k.size(1));
    context->save_for_backward({rows, k, v, mask});
    context->saved_data["rows"] = q.size(2);
    context->saved_data["causal"] = causal;
    return torch::matmul(weights_of(rows, k, mask, q.size(2), causal), v).view(q.sizes());
  }

  static variable_list backward(AutogradContext* context, variable_list upstream) {
    const variable_list saved = context->get_saved_variables();
    const Tensor &rows = saved[0], &k = saved[1], &v = saved[2];
    const Tensor g = in_groups(upstream[0], k.size(1));
    const int64_t T = context->saved_data["rows"].toInt();
    const Tensor weights = weights_of(rows, k, saved[3], T, context->saved_data["causal"].toBool());
    Tensor by_scores = torch::matmul(g, v.transpose(2, 3));
    run(by_scores, weights, {}, T, -1);
    const Tensor by_q = torch::matmul(by_scores, k).view(upstream[0].sizes()) * scale_of(k);
    return {by_q, torch::matmul(by_scores.transpose(2, 3), rows), torch::matmul(weights.transpose(2, 3), g), Tensor(),
            Tensor()};
  }

 private:
  static Tensor weights_of(const Tensor& rows, const Tensor& k, const Tensor& mask, int64_t T, bool causal) {
    Tensor scores = torch::matmul(rows, k.transpose(2, 3));
    run(scores, {}, mask.numel() > 0 ? mask : Tensor(), T, causal ? 0 : -1);
    return scores;
  }
};

// Without gradients, in blocks of rows: the scores stay in the cache, and causal rows skip most hidden keys.
Tensor by_blocks_of_rows(const Tensor& q, const Tensor& k, const Tensor& v, const Tensor& mask, bool causal) {
  const int64_t B = q.size(0), H = q.size(1), T = q.size(2), d = q.size(3), K = k.size(1), S = k.size(2), G = H / K;
  // Products are compiled per number of keys: use at most eight different ones.
  const int64_t keys_unit = std::max(rows_per_block, (T + 7) / 8);
  const Tensor all_k = k.reshape({B * K, S, d}), all_v = v.reshape({B * K, S, d}),
               buffer = torch::empty({B * H * std::min(T, rows_per_block) * S}, q.options());
  Tensor out = torch::empty({B, T, H, d}, q.options()).transpose(1, 2);  // as the next product reads it
  for (int64_t first = 0; first < T; first += rows_per_block) {
    const int64_t n = std::min(rows_per_block, T - first), least = (first + n + keys_unit - 1) / keys_unit * keys_unit,
                  keys = causal ? std::min(least, S) : S;
    const Tensor rows = (q.narrow(2, first, n) * scale_of(q)).reshape({B * K, G * n, d});
    Tensor scores = buffer.narrow(0, 0, B * H * n * keys).view({B * K, G * n, keys}),
           weights = scores.view({B, K, G * n, keys});  // the same memory
    at::bmm_out(scores, rows, all_k.narrow(1, 0, keys).transpose(1, 2));
    run(weights, {}, mask.defined() ? mask.narrow(2, first, n).narrow(3, 0, keys) : mask, n, causal ? first : -1);
    out.narrow(2, first, n).copy_(torch::bmm(scores, all_v.narrow(1, 0, keys)).view({B, H, n, d}));
  }
  return out;
}

}  // namespace

bool needs_gradient(const Tensor& q, const Tensor& k, const Tensor& v) {
  return at::GradMode::is_enabled() && (q.requires_grad() || k.requires_grad() || v.requires_grad());
}

Tensor product_attention(const Tensor& q, const Tensor& k, const Tensor& v, const Tensor& mask, bool causal) {
  Tensor given = mask.defined() ? mask.expand({q.size(0), 1, q.size(2), k.size(2)})
                                : torch::empty({0}, torch::TensorOptions().dtype(torch::kBool));
  if (given.numel() > 0 && given.stride(3) != 1) given = given.contiguous();
  if (!needs_gradient(q, k, v)) return by_blocks_of_rows(q, k, v, mask.defined() ? given : mask, causal);
  return ProductAttention::apply(q, k, v, given, causal);
}

Tensor reference_product_attention(const Tensor& q, const Tensor& k, const Tensor& v, const Tensor& mask, bool causal) {
  const int64_t K = k.size(1), G = q.size(1) / K, T = q.size(2), S = k.size(2);
  Tensor scores = torch::matmul(in_groups(q * scale_of(q), K), k.transpose(2, 3)).to(torch::kFloat);
  scores = scores.view({q.size(0), K, G, T, S});
  if (mask.defined()) scores = scores.masked_fill(mask.logical_not().unsqueeze(2), -INFINITY);
  if (causal) scores = scores.masked_fill(torch::ones({T, S}, torch::kBool).tril().logical_not(), -INFINITY);
  const Tensor weights = scores.softmax(-1).to(q.scalar_type()).view({q.size(0), K, G * T, S});
  return torch::matmul(weights, v).view(q.sizes());
}

}  // namespace precis

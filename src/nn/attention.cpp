#include "precis/nn/attention.h"

#include <torch/types.h>

#include "block_attention.h"
#include "precis/core/error.h"
#include "precis/core/strings.h"
#include "precis/nn/product_attention.h"

namespace precis {
namespace {

// LibTorch's fused attention reaches a fraction of the processor's bf16 rate if it has AVX-512 bf16 but no AMX.
bool fused_is_slow_in_bf16() {
#if defined(__x86_64__) && (!defined(__clang__) || __clang_major__ >= 18)  // older ones do not know the name amx-bf16
  static const bool slow = __builtin_cpu_supports("avx512bf16") && !__builtin_cpu_supports("amx-bf16");
  return slow;
#else
  return false;
#endif
}

// On the CPU, the backward pass of LibTorch's fused attention is slow. Training uses matrix products up to this many
// scores per head and recomputes them in the backward pass; longer rows use the fused kernel.
constexpr int64_t most_scores = 1024 * 1024;

bool products_are_faster(const Tensor& q, const Tensor& k, const Tensor& v) {
  if (!q.device().is_cpu()) return false;
  const auto dtype = q.scalar_type();
  if (!needs_gradient(q, k, v)) return dtype == at::kBFloat16 && fused_is_slow_in_bf16();
  return (dtype == at::kFloat || dtype == at::kBFloat16) && q.size(2) * k.size(2) <= most_scores;
}

// `t` without its first rows. Returns `t` itself for first == 0, since a view costs its gradient a copy.
Tensor from_row(const Tensor& t, int64_t first) { return first == 0 ? t : t.narrow(2, first, t.size(2) - first); }

// LibTorch's fused attention with grouped heads. On CUDA, grouped heads fall back to the slow math kernel with a mask
// (before 2.14) and in fp32, so heads are expanded there.
Tensor fused(const Tensor& q, const Tensor& k, const Tensor& v, const Tensor& mask, bool causal) {
  if (products_are_faster(q, k, v)) return product_attention(q, k, v, mask, causal);
  const int64_t groups = q.size(1) / k.size(1);
  const c10::optional<Tensor> optional_mask = mask.defined() ? c10::optional<Tensor>(mask) : c10::nullopt;
  if (q.is_cuda() && groups > 1 && (mask.defined() || q.scalar_type() == at::kFloat)) {
    return at::scaled_dot_product_attention(q, k.repeat_interleave(groups, 1), v.repeat_interleave(groups, 1),
                                            optional_mask, 0.0, causal);
  }
  return at::scaled_dot_product_attention(q, k, v, optional_mask, 0.0, causal, c10::nullopt, groups > 1);
}

Tensor attend_full(const Tensor& q, const Tensor& k, const Tensor& v, const Tensor& key_lengths) {
  if (!key_lengths.defined()) return fused(q, k, v, {}, false);
  const Tensor mask = length_mask(key_lengths, k.size(2)).view({-1, 1, 1, k.size(2)});
  return fused(q, k, v, mask.expand({q.size(0), 1, q.size(2), k.size(2)}), false);
}

Tensor attend_with_anchors(const Tensor& q, const Tensor& k, const Tensor& v, const AttentionPlan& plan) {
  const int64_t rows = q.size(2);
  const Tensor index = plan.anchors.view({q.size(0), 1, -1, 1}).expand({-1, q.size(1), -1, q.size(3)});
  const Tensor padded_q = torch::constant_pad_nd(q, {0, 0, 0, 1});  // row T means "no anchor"
  const Tensor seeing_all = attend_full(padded_q.gather(2, index), k, v, plan.key_lengths);
  const Tensor causal = torch::constant_pad_nd(fused(q, k, v, {}, true), {0, 0, 0, 1});
  return causal.scatter(2, index, seeing_all).narrow(2, 0, rows);
}

}  // namespace

Tensor length_mask(const Tensor& lengths, int64_t n) {
  return torch::arange(n, lengths.options()).unsqueeze(0) < lengths.unsqueeze(1);
}

Tensor causal_mask_after_past(int64_t rows, int64_t past, const Tensor& past_lengths, int64_t window) {
  const auto options = past_lengths.options();
  const Tensor lengths = past_lengths.unsqueeze(1);                                      // [B, 1]
  const Tensor new_index = lengths + torch::arange(rows, options);                       // [B, T]
  const Tensor past_index = torch::arange(past, options).expand({lengths.size(0), -1});  // [B, past]
  const Tensor hidden = past_index >= lengths;
  const Tensor key_index =
      torch::cat({past_index.masked_fill(hidden, INT64_MAX), new_index}, 1).unsqueeze(1);  // [B, 1, S]
  const Tensor query_index = new_index.unsqueeze(2);                                       // [B, T, 1]
  Tensor mask = key_index <= query_index;
  if (window > 0) mask = mask.logical_and(key_index > query_index - window);
  return mask.unsqueeze(1);
}

Tensor attend(const Tensor& q, const Tensor& k, const Tensor& v, const AttentionPlan& plan) {
  check(q.size(1) % k.size(1) == 0, "attend: query heads must be a multiple of key heads");
  using Kind = AttentionPlan::Kind;
  const int64_t skip = plan.first_output_row;
  if (plan.kind == Kind::dense) return fused(from_row(q, skip), k, v, from_row(plan.mask, skip), false);
  if (plan.kind == Kind::full) return attend_full(from_row(q, skip), k, v, plan.key_lengths);
  if (plan.kind == Kind::blocks) return attend_by_blocks(q, k, v, plan.blocks, skip);
  check(q.size(2) == k.size(2), "attend: causal plans need as many keys as queries");
  const Tensor out = plan.kind == Kind::causal ? fused(q, k, v, {}, true) : attend_with_anchors(q, k, v, plan);
  return from_row(out, skip);
}

std::string AttentionPlan::to_string() const {
  switch (kind) {
    case Kind::causal:
      return "causal";
    case Kind::full:
      return "full";
    case Kind::dense:
      return cat("dense mask ", mask.sizes());
    case Kind::anchors:
      return cat("causal with anchors ", anchors.sizes());
    case Kind::blocks:
      break;
  }
  const SegmentShape& shape = blocks.shape;
  return cat("blocks: ", shape.prefix, " prefix + ", shape.text, " text rows ",
             blocks.mask.text_in_chunks ? "in chunks of " : "causal, chunk ", shape.chunk, ", ", shape.slots,
             " memory rows in groups of ", shape.group);
}

}  // namespace precis

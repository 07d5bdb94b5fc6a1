#include "block_attention.h"

#include <torch/types.h>

#include <cmath>

#include "precis/core/error.h"

// Letters of this file: B batch, K key heads, G query heads per key head, n chunks, r rows per chunk, d head width.
namespace precis {
namespace {

// One group of keys, seen by the rows of every chunk, with its mask.
struct KeyPart {
  Tensor k, v;  // [B, K, n or 1, keys, d]; 1: the same keys for all chunks
  Tensor mask;  // bool, broadcastable to [B, 1, n, 1, r, keys]
};

// Softmax over the keys of all parts together. q [B, K, G, n, r, d]; returns the same shape.
Tensor attend_parts(const Tensor& q, const std::vector<KeyPart>& parts) {
  const int64_t B = q.size(0), K = q.size(1), G = q.size(2), n = q.size(3), r = q.size(4), d = q.size(5);
  const double scale = 1 / std::sqrt(static_cast<double>(d));
  const Tensor by_chunk = (q * scale).permute({0, 1, 3, 2, 4, 5});  // [B, K, n, G, r, d]
  const auto queries_for = [&](const KeyPart& part) {
    return part.k.size(2) == n ? by_chunk.reshape({B, K, n, G * r, d}) : by_chunk.reshape({B, K, 1, n * G * r, d});
  };
  std::vector<Tensor> scores;
  for (const auto& part : parts) {
    const Tensor product = torch::matmul(queries_for(part), part.k.transpose(-1, -2));  // [.., G r, keys]
    const Tensor masked = product.view({B, K, n, G, r, part.k.size(3)}).to(torch::kFloat);
    scores.push_back(masked.masked_fill(part.mask.logical_not(), -INFINITY));
  }
  const Tensor weights = torch::softmax(torch::cat(scores, -1), -1).to(q.scalar_type());  // [B, K, n, G, r, all keys]
  Tensor out;
  int64_t start = 0;
  for (const auto& part : parts) {
    const int64_t keys = part.k.size(3);
    const Tensor w = weights.narrow(-1, start, keys);
    start += keys;
    const Tensor rows = part.k.size(2) == n ? w.reshape({B, K, n, G * r, keys}) : w.reshape({B, K, 1, n * G * r, keys});
    const Tensor sum = torch::matmul(rows, part.v).view({B, K, n, G, r, d});
    out = out.defined() ? out + sum : sum;
  }
  return out.permute({0, 1, 3, 2, 4, 5});
}

int64_t chunks_of(int64_t rows, int64_t per_chunk) { return (rows + per_chunk - 1) / per_chunk; }

// Rows [B, X, rows, d] cut into chunks, padded with zeros at the end: [B, X, n, per_chunk, d].
Tensor in_chunks(const Tensor& x, int64_t n, int64_t per_chunk) {
  const Tensor padded = torch::constant_pad_nd(x, {0, 0, 0, n * per_chunk - x.size(2)});
  return padded.view({x.size(0), x.size(1), n, per_chunk, x.size(3)});
}

// bool [B, 1, n, 1, 1, per_chunk]: which rows of each chunk are not padding.
Tensor valid_in_chunks(const Tensor& lengths, int64_t n, int64_t per_chunk) {
  return length_mask(lengths, n * per_chunk).view({-1, 1, n, 1, 1, per_chunk});
}

Tensor lower_triangle(int64_t n, const torch::Device& device) {
  return torch::ones({n, n}, torch::TensorOptions().dtype(torch::kBool).device(device)).tril();
}

struct Rows {
  Tensor q, k, v;  // [B, heads, rows, d]
  // The first rows and the others, in one split, so that their gradients are concatenated once.
  std::pair<Rows, Rows> split(int64_t first) const {
    if (first == 0) return {Rows{q.narrow(2, 0, 0), k.narrow(2, 0, 0), v.narrow(2, 0, 0)}, *this};
    const auto parts = [first](const Tensor& t) { return t.split_with_sizes({first, t.size(2) - first}, 2); };
    const auto qs = parts(q), ks = parts(k), vs = parts(v);
    return {Rows{qs[0], ks[0], vs[0]}, Rows{qs[1], ks[1], vs[1]}};
  }
};

KeyPart prefix_part(const Rows& prefix, int64_t seen) {
  const Tensor mask = torch::ones({1, 1, 1, 1, 1, seen}, prefix.k.options().dtype(torch::kBool));
  return {prefix.k.unsqueeze(2), prefix.v.unsqueeze(2), mask};
}

// Text rows that see the prefix, their own chunk and, optionally, the memory of earlier chunks.
Tensor attend_text_chunks(const Rows& prefix, const Rows& text, const Rows& memory, const MaskedSegments& segments) {
  const int64_t K = text.k.size(1), G = text.q.size(1) / K, d = text.q.size(3),
                n = chunks_of(segments.shape.text, segments.shape.chunk);
  const auto device = text.q.device();
  const Tensor q = in_chunks(text.q, n, segments.shape.chunk).view({-1, K, G, n, segments.shape.chunk, d});
  std::vector<KeyPart> parts;
  if (segments.shape.prefix > 0) parts.push_back(prefix_part(prefix, segments.shape.prefix));
  parts.push_back({in_chunks(text.k, n, segments.shape.chunk), in_chunks(text.v, n, segments.shape.chunk),
                   lower_triangle(segments.shape.chunk, device)});
  if (segments.mask.text_sees_earlier_memory && segments.shape.slots > 0) {
    const auto index = torch::TensorOptions().dtype(torch::kLong).device(device);
    const Tensor group = torch::arange(segments.shape.slots, index).div(segments.shape.group, "floor");
    const Tensor earlier = group.unsqueeze(0) < torch::arange(n, index).unsqueeze(1);  // [n, M]
    const Tensor valid =
        length_mask(segments.memory_lengths, segments.shape.slots).view({-1, 1, 1, 1, 1, segments.shape.slots});
    parts.push_back({memory.k.unsqueeze(2), memory.v.unsqueeze(2),
                     earlier.view({1, 1, n, 1, 1, segments.shape.slots}).logical_and(valid)});
  }
  const Tensor out =
      attend_parts(q, parts).reshape({-1, K * G, n * segments.shape.chunk, d}).narrow(2, 0, segments.shape.text);
  if (segments.shape.prefix == 0) return out;
  return torch::cat({attend(prefix.q, prefix.k, prefix.v, AttentionPlan::causal()), out}, 2);
}

// Memory rows of all chunks as one batched product: g rows against their own c text keys and the memory they may see.
Tensor attend_memory_chunks(const Rows& prefix, const Rows& text, const Rows& memory, const MaskedSegments& segments) {
  const int64_t K = text.k.size(1), G = text.q.size(1) / K, d = text.q.size(3), M = segments.shape.slots,
                g = segments.shape.group;
  const int64_t n = chunks_of(M, g), text_rows = std::min(n * segments.shape.chunk, segments.shape.text);
  const auto device = text.q.device();
  const Tensor q = in_chunks(memory.q, n, g).view({-1, K, G, n, g, d});
  std::vector<KeyPart> parts;
  if (segments.shape.prefix > 0 && segments.mask.memory_sees_prefix)
    parts.push_back(prefix_part(prefix, segments.shape.prefix));
  const Tensor text_k = in_chunks(text.k.narrow(2, 0, text_rows), n, segments.shape.chunk),
               text_v = in_chunks(text.v.narrow(2, 0, text_rows), n, segments.shape.chunk);
  parts.push_back({text_k, text_v, valid_in_chunks(segments.text_lengths, n, segments.shape.chunk)});
  if (segments.mask.memory_to_memory == MemoryToMemory::causal_all) {
    const Tensor causal = torch::constant_pad_nd(lower_triangle(n * g, device), {0, M - n * g});  // queries n g, keys M
    parts.push_back({memory.k.unsqueeze(2), memory.v.unsqueeze(2), causal.view({1, 1, n, 1, g, M})});
  } else {
    const bool own_group = segments.mask.memory_to_memory == MemoryToMemory::own_group;
    const Tensor mask =
        own_group ? lower_triangle(g, device) : torch::eye(g, torch::TensorOptions().device(device)).to(torch::kBool);
    parts.push_back({in_chunks(memory.k, n, g), in_chunks(memory.v, n, g), mask});
  }
  return attend_parts(q, parts).reshape({-1, K * G, n * g, d}).narrow(2, 0, M);
}

}  // namespace

Tensor attend_by_blocks(const Tensor& q, const Tensor& k, const Tensor& v, const MaskedSegments& segments,
                        int64_t skip) {
  const int64_t P = segments.shape.prefix, before_memory = P + segments.shape.text;
  check(q.size(2) == before_memory + segments.shape.slots && k.size(2) == q.size(2),
        "block attention: the number of rows does not match the layout");
  check(skip == 0 || skip == before_memory, "block attention: only all text rows together can be skipped");
  const auto [before, memory] = Rows{q, k, v}.split(before_memory);
  const auto [prefix, text] = before.split(P);
  const Tensor memory_out = !segments.memory_mask.defined()
                                ? attend_memory_chunks(prefix, text, memory, segments)
                                : attend(memory.q, k, v, AttentionPlan::dense(segments.memory_mask));
  if (skip > 0) return memory_out;
  Tensor text_out;
  if (segments.mask.text_in_chunks) {
    text_out = attend_text_chunks(prefix, text, memory, segments);
  } else {
    text_out = attend(before.q, before.k, before.v, AttentionPlan::causal());
  }
  // Row-major memory [B, rows, heads, d], as the next product reads it.
  return torch::cat({text_out.transpose(1, 2), memory_out.transpose(1, 2)}, 1).transpose(1, 2);
}

}  // namespace precis

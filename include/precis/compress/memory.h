// What a compressor makes of a context: a few rows or key/value entries that the frozen decoder reads in its place.
#pragma once

#include <map>
#include <string>
#include <variant>

#include "precis/model/kv_cache.h"

namespace precis {

// Contexts as token ids, right-padded; padding never changes a result.
struct TokenBatch {
  Tensor ids;      // int64 [B, L]
  Tensor lengths;  // int64 [B]
};
TokenBatch token_batch(const std::vector<std::vector<int64_t>>& contexts);

struct EmbeddingMemory {
  Tensor rows;   // [B, M, D]: soft-prompt rows that stand in place of token embeddings
  Tensor slots;  // [B, M, D]: the same before the projector
};
using KvMemory = PastKeyValues;  // N x keys, values [B, K, M, d], keys already rotated

// Where a memory came from; a memory file carries it.
struct MemoryOrigin {
  std::string method;
  int64_t ratio = 0;
  std::string base_fingerprint, tokenizer_hash;
};

struct Memory {
  std::variant<EmbeddingMemory, KvMemory> content;
  Tensor lengths;        // int64 [B]: entries of each context that are no padding
  Tensor position_ids;   // int64 [B, M]: decoder position of a row, or the position at which its key was rotated
  Tensor next_position;  // int64 [B]: position of the decoder row that follows
  Tensor segments;       // int64 [B, M]: which segment of its context an entry belongs to
  Tensor source_tokens;  // int64 [B]
  MemoryOrigin origin;

  int64_t entries() const { return position_ids.size(1); }
  // Bytes that context b's memory takes in the decoder.
  int64_t bytes(int64_t b) const;
};

}  // namespace precis

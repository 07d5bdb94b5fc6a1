// What a compressor makes of a context: a few rows or key/value entries that the frozen decoder reads in its place.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <variant>

#include "precis/model/kv_cache.h"

namespace precis {

// Contexts as token ids, right-padded; padding never changes a result.
struct TokenBatch {
  Tensor ids;      // int64 [B, L]
  Tensor lengths;  // int64 [B]
  Tensor start;    // int64 [B]: tokens of the same text before these, compressed earlier; undefined: none
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
  int64_t method_version = 1, ratio = 0;
  std::string base_fingerprint, tokenizer_hash;
  bool operator==(const MemoryOrigin&) const = default;
};

// How the decoder counts on behind a memory: all that is needed to place several memories one after the other.
struct MemoryPlacement {
  enum class Next {
    rows,            // entries are rows that count from `before`, and so does what follows them
    source,          // entries keep positions of the text; the decoder goes on behind the text
    source_and_rows  // ... behind the text and as many positions as there are entries (500xCompressor)
  };
  Next next = Next::rows;
  int64_t before = 0;    // positions in front of the first entry or of the text (BOS)
  bool markers = false;  // with `rows`: a marker row stands at each end of a segment
  bool operator==(const MemoryPlacement&) const = default;
};

// The documents that were put together in a memory.
struct MemoryDocuments {
  Tensor index;   // int64 [B, M]: which document an entry belongs to
  Tensor tokens;  // int64 [B, n]: source tokens of each document, 0 behind a context's last
};

struct Memory {
  std::variant<EmbeddingMemory, KvMemory> content;
  Tensor lengths;        // int64 [B]: entries of each context that are no padding
  Tensor position_ids;   // int64 [B, M]: decoder position of a row, or the position at which its key was rotated
  Tensor next_position;  // int64 [B]: position of the decoder row that follows
  Tensor segments;       // int64 [B, M]: which segment of its context an entry belongs to
  Tensor source_tokens;  // int64 [B]
  MemoryOrigin origin;
  MemoryPlacement placement;
  std::optional<MemoryDocuments> documents;  // nothing: each context is one document

  int64_t contexts() const { return lengths.size(0); }
  int64_t entries() const { return position_ids.size(1); }
  // Bytes that context b's memory takes in the decoder.
  int64_t bytes(int64_t b) const;
};

// Fills next_position, and where rows count from the front position_ids too, from placement, lengths, segments and
// source_tokens.
void place_memory(Memory& memory);

}  // namespace precis

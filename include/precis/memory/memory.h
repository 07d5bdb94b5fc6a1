// A compressed context: a few rows or key/value entries that the frozen decoder reads instead of the text.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <variant>

#include "precis/model/kv_cache.h"

namespace precis {

// Contexts as token ids, right-padded; padding never affects results.
struct TokenBatch {
  Tensor ids;      // int64 [B, L]
  Tensor lengths;  // int64 [B]
  Tensor start;    // int64 [B]: preceding tokens of the same text, compressed earlier; undefined: none
};
TokenBatch token_batch(const std::vector<std::vector<int64_t>>& contexts);

struct EmbeddingMemory {
  Tensor rows;   // [B, M, D]: soft-prompt rows in place of token embeddings
  Tensor slots;  // [B, M, D]: the same before the projector
};
using KvMemory = PastKeyValues;  // N x keys, values [B, K, M, d], keys already rotated

// The origin of a memory, stored in memory files.
struct MemoryOrigin {
  std::string method;
  int64_t method_version = 1, ratio = 0;
  std::string base_fingerprint, tokenizer_hash;
  bool operator==(const MemoryOrigin&) const = default;
};

// How positions continue after a memory; sufficient to concatenate memories.
struct MemoryPlacement {
  enum class Next {
    rows,            // entries are rows numbered from `before`; the numbering continues after them
    source,          // entries keep positions of the text; the decoder continues after the text
    source_and_rows  // ... after the text plus one position per entry (500xCompressor)
  };
  Next next = Next::rows;
  int64_t before = 0;    // positions before the first entry or the text (BOS)
  bool markers = false;  // with `rows`: a marker row at each end of a segment
  bool operator==(const MemoryPlacement&) const = default;
};

// The documents concatenated in a memory.
struct MemoryDocuments {
  Tensor index;   // int64 [B, M]: document of each entry
  Tensor tokens;  // int64 [B, n]: source tokens of each document, 0 after a context's last
};

struct Memory {
  std::variant<EmbeddingMemory, KvMemory> content;
  Tensor lengths;        // int64 [B]: valid entries of each context
  Tensor position_ids;   // int64 [B, M]: decoder position of a row, or the position at which its key was rotated
  Tensor next_position;  // int64 [B]: position of the next decoder row
  Tensor segments;       // int64 [B, M]: index of each entry's segment in its context
  Tensor source_tokens;  // int64 [B]
  MemoryOrigin origin;
  MemoryPlacement placement;
  std::optional<MemoryDocuments> documents;  // absent: each context is one document

  int64_t contexts() const { return lengths.size(0); }
  int64_t entries() const { return position_ids.size(1); }
  // Bytes of context b's memory in the decoder.
  int64_t bytes(int64_t b) const;
};

// Computes next_position, and with Next::rows also position_ids, from placement, lengths, segments and source_tokens.
void place_memory(Memory& memory);

}  // namespace precis

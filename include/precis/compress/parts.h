// Compression of a text in parts: long texts in bounded memory, and text appended to a memory.
#pragma once

#include <optional>

#include "precis/compress/compressor.h"
#include "precis/memory/memory_blocks.h"

namespace precis {

// One text, compressed part by part, between which other work may be done.
class PartsCompression {
 public:
  // `text`: one context, of which `before`, if given, is the memory of the text so far. The compressor must outlive
  // this object and keep its ratio.
  PartsCompression(Compressor& compressor, std::optional<Memory> before, const TokenBatch& text,
                   int64_t segments_at_once);

  bool next();  // compresses a part; false if none is left
  Memory finish() { return join_parts(std::move(parts_)); }

 private:
  Compressor& compressor_;
  Tensor ids_;  // int64 [1, L]
  int64_t length_, start_ = 0, begin_ = 0, part_;
  std::vector<Memory> parts_;
};

// Appends the memory of each context's next part to that of its text so far, by Compressor::compress_after. This equals
// compressing the whole text if the text so far ends at a segment boundary; otherwise the next part starts a new
// segment, where the whole text would have filled the last one. `segments_at_once` as in compress_in_parts; 0: all.
Memory append(Compressor& compressor, const Memory& memory, const TokenBatch& next, int64_t segments_at_once = 0);

// compressor.compress for contexts of any length in bounded memory. Contexts longer than `segments_at_once` segments
// are compressed one by one, in parts of that many segments; the result equals compressing all at once. Only the memory
// itself grows.
Memory compress_in_parts(Compressor& compressor, const TokenBatch& contexts, int64_t segments_at_once);

}  // namespace precis

#include "precis/compress/parts.h"

#include <torch/types.h>

#include "precis/core/error.h"
#include "precis/memory/memory_blocks.h"

namespace precis {

Memory append(Compressor& compressor, const Memory& memory, const TokenBatch& next, int64_t segments_at_once) {
  const TokenBatch placed{next.ids, next.lengths, memory.source_tokens};
  const Memory behind =
      segments_at_once > 0 ? compress_in_parts(compressor, placed, segments_at_once) : compressor.compress(placed);
  return join_parts({memory, behind});
}

Memory compress_in_parts(Compressor& compressor, const TokenBatch& contexts, int64_t segments_at_once) {
  check(segments_at_once >= 1, "compress_in_parts: at least one segment at once");
  const int64_t part = segments_at_once * compressor.config().segment_length;
  if (contexts.lengths.max().item<int64_t>() <= part) return compressor.compress(contexts);
  std::vector<Memory> memories;
  for (int64_t b = 0; b < contexts.lengths.size(0); ++b) {
    const int64_t length = contexts.lengths[b].item<int64_t>(),
                  before = contexts.start.defined() ? contexts.start[b].item<int64_t>() : 0;
    std::vector<Memory> parts;
    for (int64_t begin = 0; begin == 0 || begin < length; begin += part) {
      const int64_t n = std::min(part, length - begin);
      parts.push_back(compressor.compress(
          {contexts.ids.narrow(0, b, 1).narrow(1, begin, n), torch::tensor({n}), torch::tensor({before + begin})}));
    }
    memories.push_back(join_parts(std::move(parts)));
  }
  return memories.size() == 1 ? memories.front() : stack(memories);
}

}  // namespace precis

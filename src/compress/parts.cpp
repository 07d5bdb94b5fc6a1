#include "precis/compress/parts.h"

#include <torch/types.h>

#include "precis/core/error.h"
#include "precis/memory/memory_blocks.h"

namespace precis {

namespace {

// The memory of one context's text in parts of `part` tokens, behind that of its earlier text, if any.
Memory in_parts(Compressor& compressor, const Memory* before, const Tensor& ids /* [1, L] */, int64_t length,
                int64_t start, int64_t part) {
  std::vector<Memory> parts;
  if (before != nullptr) parts.push_back(*before);
  for (int64_t begin = 0; begin < length || parts.empty(); begin += part) {
    const int64_t n = std::min(part, length - begin);
    const TokenBatch next{ids.narrow(1, begin, n), torch::tensor({n}), torch::tensor({start + begin})};
    if (!compressor.reads_earlier_memory() || parts.empty()) {
      parts.push_back(compressor.compress(next));
    } else {
      const Memory so_far = join_parts(std::move(parts));
      parts = {so_far, compressor.compress_after(so_far, next)};
    }
  }
  return join_parts(std::move(parts));
}

// The same for every context of a batch, all at once where they are short enough.
Memory compress_parts(Compressor& compressor, const Memory* before, const TokenBatch& contexts,
                      int64_t segments_at_once) {
  const int64_t part = segments_at_once * compressor.config().segment_length,
                longest = contexts.lengths.max().item<int64_t>();
  if (part == 0 || longest <= part) {
    return before == nullptr ? compressor.compress(contexts)
                             : join_parts({*before, compressor.compress_after(*before, contexts)});
  }
  std::vector<Memory> memories;
  for (int64_t b = 0; b < contexts.lengths.size(0); ++b) {
    const Memory own = before == nullptr ? Memory() : select_context(*before, b);
    const int64_t start = before != nullptr          ? own.source_tokens.item<int64_t>()
                          : contexts.start.defined() ? contexts.start[b].item<int64_t>()
                                                     : 0;
    memories.push_back(in_parts(compressor, before == nullptr ? nullptr : &own, contexts.ids.narrow(0, b, 1),
                                contexts.lengths[b].item<int64_t>(), start, part));
  }
  return memories.size() == 1 ? memories.front() : stack(memories);
}

}  // namespace

Memory append(Compressor& compressor, const Memory& memory, const TokenBatch& next, int64_t segments_at_once) {
  return compress_parts(compressor, &memory, next, segments_at_once);
}

Memory compress_in_parts(Compressor& compressor, const TokenBatch& contexts, int64_t segments_at_once) {
  check(segments_at_once >= 1, "compress_in_parts: at least one segment at once");
  return compress_parts(compressor, nullptr, contexts, segments_at_once);
}

}  // namespace precis

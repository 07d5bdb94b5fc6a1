#include "precis/compress/parts.h"

#include <torch/types.h>

#include "precis/core/error.h"
#include "precis/memory/memory_blocks.h"

namespace precis {

PartsCompression::PartsCompression(Compressor& compressor, std::optional<Memory> before, const TokenBatch& text,
                                   int64_t segments_at_once)
    : compressor_(compressor),
      ids_(text.ids),
      length_(text.lengths[0].item<int64_t>()),
      part_(segments_at_once * compressor.config().segment_length) {
  check(text.ids.size(0) == 1 && segments_at_once >= 1, "PartsCompression: one text, at least one segment at once");
  if (text.start.defined()) start_ = text.start[0].item<int64_t>();
  if (!before) return;
  start_ = before->source_tokens[0].item<int64_t>();
  parts_.push_back(*std::move(before));
}

bool PartsCompression::next() {
  if (begin_ >= length_ && !parts_.empty()) return false;
  const int64_t n = std::min(part_, length_ - begin_);
  const TokenBatch next{ids_.narrow(1, begin_, n), torch::tensor({n}), torch::tensor({start_ + begin_})};
  if (!compressor_.reads_earlier_memory() || parts_.empty()) {
    parts_.push_back(compressor_.compress(next));
  } else {
    const Memory so_far = join_parts(std::move(parts_));
    parts_ = {so_far, compressor_.compress_after(so_far, next)};
  }
  begin_ += n;
  return begin_ < length_;
}

namespace {

// All contexts at once where they are short enough, else one after the other.
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
    std::optional<Memory> own;
    if (before != nullptr) own = select_context(*before, b);
    const TokenBatch context{contexts.ids.narrow(0, b, 1), contexts.lengths.narrow(0, b, 1),
                             contexts.start.defined() ? contexts.start.narrow(0, b, 1) : Tensor()};
    PartsCompression parts(compressor, std::move(own), context, segments_at_once);
    while (parts.next()) continue;
    memories.push_back(parts.finish());
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

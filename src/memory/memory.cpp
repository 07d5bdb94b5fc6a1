#include "precis/memory/memory.h"

#include <torch/types.h>

#include "precis/core/error.h"

namespace precis {

TokenBatch token_batch(const std::vector<std::vector<int64_t>>& contexts) {
  size_t longest = 1;
  for (const auto& context : contexts) longest = std::max(longest, context.size());
  TokenBatch batch{torch::zeros({static_cast<int64_t>(contexts.size()), static_cast<int64_t>(longest)}, torch::kLong),
                   torch::zeros({static_cast<int64_t>(contexts.size())}, torch::kLong)};
  for (size_t b = 0; b < contexts.size(); ++b) {
    std::copy(contexts[b].begin(), contexts[b].end(), batch.ids.data_ptr<int64_t>() + b * longest);
    batch.lengths.data_ptr<int64_t>()[b] = static_cast<int64_t>(contexts[b].size());
  }
  return batch;
}

namespace {

// Numbers rows from `before`, each segment between its markers.
void place_rows(Memory& memory) {
  const bool markers = memory.placement.markers;
  const Tensor segments = memory.segments.cpu();
  memory.position_ids = torch::zeros_like(segments);
  memory.next_position = torch::zeros({segments.size(0)}, torch::kLong);
  for (int64_t b = 0; b < segments.size(0); ++b) {
    int64_t next = memory.placement.before;
    const int64_t M = segments.size(1), length = memory.lengths[b].item<int64_t>();
    const int64_t* segment = segments.data_ptr<int64_t>() + b * M;
    for (int64_t j = 0; j < length; ++j) {
      if (markers && j > 0 && segment[j] != segment[j - 1]) ++next;  // the previous segment's end marker
      if (markers && (j == 0 || segment[j] != segment[j - 1])) ++next;
      memory.position_ids.data_ptr<int64_t>()[b * M + j] = next++;
    }
    memory.next_position.data_ptr<int64_t>()[b] = next + (markers && length > 0 ? 1 : 0);
  }
}

}  // namespace

void place_memory(Memory& memory) {
  if (memory.placement.next == MemoryPlacement::Next::rows) return place_rows(memory);
  memory.next_position = memory.source_tokens + memory.placement.before;
  if (memory.placement.next == MemoryPlacement::Next::source_and_rows)
    memory.next_position = memory.next_position + memory.lengths;
}

int64_t Memory::bytes(int64_t b) const {
  const int64_t length = lengths[b].item<int64_t>();
  if (const auto* embedding = std::get_if<EmbeddingMemory>(&content)) {
    return length * embedding->rows.size(2) * static_cast<int64_t>(embedding->rows.element_size());
  }
  const auto& kv = std::get<KvMemory>(content);
  const Tensor& k = kv.layers.at(0).k;
  return length * static_cast<int64_t>(kv.layers.size()) * 2 * k.size(1) * k.size(3) *
         static_cast<int64_t>(k.element_size());
}

}  // namespace precis

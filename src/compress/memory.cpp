#include "precis/compress/memory.h"

#include <torch/torch.h>

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

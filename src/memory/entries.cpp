#include "precis/memory/entries.h"

#include <torch/types.h>

#include <algorithm>

namespace precis {

Tensor to_tensor(const std::vector<int64_t>& values) { return torch::tensor(values, torch::kLong); }

Tensor to_padded_tensor(const std::vector<std::vector<int64_t>>& rows, int64_t fill) {
  size_t longest = 0;
  for (const auto& row : rows) longest = std::max(longest, row.size());
  Tensor out = torch::full({static_cast<int64_t>(rows.size()), static_cast<int64_t>(longest)}, fill, torch::kLong);
  for (size_t b = 0; b < rows.size(); ++b)
    std::copy(rows[b].begin(), rows[b].end(), out.data_ptr<int64_t>() + b * longest);
  return out;
}

namespace {

// `source` as a tensor [B M] on `device`, padded with 0.
Tensor entry_index(const std::vector<std::vector<int64_t>>& source, at::Device device) {
  return to_padded_tensor(source, 0).flatten().to(device);
}

Tensor gather_rows(const Tensor& rows, const Tensor& index, int64_t contexts) {
  return rows.flatten(0, 1).index_select(0, index).unflatten(0, {contexts, index.size(0) / contexts});
}

}  // namespace

Tensor gather_entries(const Tensor& rows, const std::vector<std::vector<int64_t>>& source) {
  return gather_rows(rows, entry_index(source, rows.device()), static_cast<int64_t>(source.size()));
}

std::vector<LayerKv> gather_kv_entries(const std::vector<LayerKv>& layers,
                                       const std::vector<std::vector<int64_t>>& source) {
  const Tensor index = entry_index(source, layers.at(0).k.device());
  const auto gathered = [&](const Tensor& t) {
    return gather_rows(t.transpose(1, 2), index, static_cast<int64_t>(source.size())).transpose(1, 2);
  };
  std::vector<LayerKv> out;
  for (const auto& layer : layers) out.push_back({gathered(layer.k), gathered(layer.v)});
  return out;
}

}  // namespace precis

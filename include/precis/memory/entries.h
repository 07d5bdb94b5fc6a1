// Lists of numbers as tensors, and gathering of a batch's entries by context.
#pragma once

#include <vector>

#include "precis/model/kv_cache.h"

namespace precis {

// int64 [rows], or [B, longest] padded with `fill`.
Tensor to_tensor(const std::vector<int64_t>& values);
Tensor to_padded_tensor(const std::vector<std::vector<int64_t>>& rows, int64_t fill);

// Gathers rows [n, m, ...] of segments by context: entry (b, j) is row source[b][j] of the flattened [n m, ...].
// Padding is row 0.
Tensor gather_entries(const Tensor& rows, const std::vector<std::vector<int64_t>>& source);
std::vector<LayerKv> gather_kv_entries(const std::vector<LayerKv>& layers /* k, v [n, K, m, d] */,
                                       const std::vector<std::vector<int64_t>>& source);

}  // namespace precis

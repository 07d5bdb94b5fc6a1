// Products of many bf16 rows, split across the threads by rows.
#pragma once

#include <ATen/core/Tensor.h>

#include <utility>
#include <vector>

namespace precis {

using at::Tensor;

// Each thread's share of the rows [R, in] as (first, count), if their product with `weight` [out, in] is split; empty
// if one product of all rows is as fast.
std::vector<std::pair<int64_t, int64_t>> row_shares(const Tensor& rows, const Tensor& weight);

}  // namespace precis

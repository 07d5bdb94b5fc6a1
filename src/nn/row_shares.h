// Products of many bf16 rows, dealt out to the threads by rows.
#pragma once

#include <ATen/core/Tensor.h>

#include <utility>
#include <vector>

namespace precis {

using at::Tensor;

// The rows [R, in] of each thread's share, as (first, how many), where their product with `weight` [out, in] is dealt
// out; empty where one product of all rows is as fast.
std::vector<std::pair<int64_t, int64_t>> row_shares(const Tensor& rows, const Tensor& weight);

}  // namespace precis

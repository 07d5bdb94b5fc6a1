#pragma once

#include "precis/nn/attention.h"

namespace precis {

// The plan of kind `blocks`: text rows causal (or inside their chunk), memory rows against their own chunk and the
// memory they may see. Never builds a matrix of all rows by all rows. Text rows are left out if `skip` > 0, which must
// then be prefix + text.
Tensor attend_by_blocks(const Tensor& q, const Tensor& k, const Tensor& v, const BlockLayout& layout, int64_t skip);

}  // namespace precis

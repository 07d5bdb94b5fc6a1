#pragma once

#include "precis/nn/attention.h"

namespace precis {

// The plan of kind `blocks`: text rows causal (or within their chunk), memory rows against their own chunk and the
// memory they may see. Never allocates a matrix of all rows by all rows. `skip`: 0, or prefix + text to compute memory
// rows only.
Tensor attend_by_blocks(const Tensor& q, const Tensor& k, const Tensor& v, const MaskedSegments& segments,
                        int64_t skip);

}  // namespace precis

// Attention plans of the masks of methods.md section 2.1, for segments padded to one shape, rows in append order.
// Text row t of segment b is valid for t < text_lengths[b], memory row m for m < memory_lengths[b] (int64 [B]).
#pragma once

#include "precis/nn/attention.h"

namespace precis {

// The whole mask as a matrix: the reference.
AttentionPlan dense_plan(const MaskSpec& spec, const SegmentShape& shape, const Tensor& text_lengths,
                         const Tensor& memory_lengths);

// The same without a matrix of all rows by all rows; a property test holds both equal.
AttentionPlan block_plan(const MaskSpec& spec, const SegmentShape& shape, const Tensor& text_lengths,
                         const Tensor& memory_lengths);

}  // namespace precis

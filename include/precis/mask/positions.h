// Position ids of encoder rows: sequential, EPL (arXiv 2409.14364, methods.md section 6) and chunk_end (section 2.2).
#pragma once

#include <string>

#include "precis/mask/mask_spec.h"

namespace precis {

enum class PositionScheme { sequential, epl, chunk_end };
PositionScheme position_scheme(const std::string& name);

// Positions of m slots spread over the span first ... last, in exact arithmetic, ties to even.
std::vector<int64_t> epl_positions(int64_t first, int64_t last, int64_t slots);

// Position ids of a segment's rows in append order (prefix, text, memory), for a pass in `layout`.
std::vector<int64_t> encoder_positions(const SegmentShape& shape, PositionScheme scheme, Layout layout);

}  // namespace precis

#include "precis/mask/positions.h"

#include <algorithm>
#include <numeric>

#include "precis/core/error.h"

namespace precis {

PositionScheme position_scheme(const std::string& name) {
  if (name == "sequential") return PositionScheme::sequential;
  if (name == "epl") return PositionScheme::epl;
  check(name == "chunk_end", "position_scheme: unknown name");
  return PositionScheme::chunk_end;
}

std::vector<int64_t> epl_positions(int64_t first, int64_t last, int64_t slots) {
  // linspace from first + (q - 1) / 2 in steps of q = n / m is first + (n - m + 2 t n) / (2 m).
  const int64_t n = last - first + 1, denominator = 2 * slots;
  std::vector<int64_t> out;
  for (int64_t t = 0; t < slots; ++t) {
    const int64_t numerator = n - slots + 2 * t * n;
    int64_t floor = numerator / denominator, rest = numerator % denominator;
    if (rest < 0) {
      rest += denominator;
      --floor;
    }
    const bool up = 2 * rest > denominator || (2 * rest == denominator && (first + floor) % 2 != 0);
    out.push_back(first + floor + (up ? 1 : 0));
  }
  return out;
}

std::vector<int64_t> encoder_positions(const SegmentShape& shape, PositionScheme scheme, Layout layout) {
  std::vector<int64_t> positions(static_cast<size_t>(shape.rows()));
  if (scheme == PositionScheme::sequential) {
    const std::vector<int64_t> order = layout_order(shape, layout);
    for (size_t i = 0; i < order.size(); ++i) positions[static_cast<size_t>(order[i])] = static_cast<int64_t>(i);
    return positions;
  }
  const int64_t T = shape.prefix + shape.text;
  std::iota(positions.begin(), positions.begin() + T, int64_t{0});
  for (int64_t chunk = 0; chunk * shape.group < shape.slots; ++chunk) {
    const int64_t first = shape.prefix + chunk * shape.chunk, last = std::min(first + shape.chunk, T) - 1;
    const int64_t slots = std::min(shape.group, shape.slots - chunk * shape.group);
    const std::vector<int64_t> own = scheme == PositionScheme::epl
                                         ? epl_positions(first, last, slots)
                                         : std::vector<int64_t>(static_cast<size_t>(slots), last);
    std::copy(own.begin(), own.end(), positions.begin() + T + chunk * shape.group);
  }
  return positions;
}

}  // namespace precis

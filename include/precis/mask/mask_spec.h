// The block-wise causal masks of PIC as data (methods.md section 2.1), without any matrix.
// `dense_mask` is the reference; attention runs the same data by blocks (nn/mask_plan.h).
#pragma once

#include <ATen/core/Tensor.h>

#include <string>
#include <vector>

#include "precis/config/config.h"

namespace precis {

using at::Tensor;

enum class Layout { append, interleave };
enum class MemoryToText { own_chunk, up_to, window, global };
enum class MemoryToMemory { causal_all, own_group, self_only };

struct MaskSpec {
  bool text_in_chunks = false;  // text_scope = chunk
  bool text_sees_earlier_memory = false;
  MemoryToText memory_to_text = MemoryToText::own_chunk;
  int64_t window = 1;  // chunks before the row's own, for MemoryToText::window
  MemoryToMemory memory_to_memory = MemoryToMemory::causal_all;
  bool memory_sees_prefix = true;

  bool operator==(const MaskSpec&) const = default;
  std::string to_string() const;
};

MaskSpec mask_spec(const MaskConfig& config);  // the preset with the config's overrides

// One segment: P prefix rows, L text rows in chunks of c, M slots in groups of g. Without chunks c = L and g = M.
struct SegmentShape {
  int64_t prefix = 0, text = 0, chunk = 1, group = 1, slots = 0;
  int64_t rows() const { return prefix + text + slots; }
};

// Slots of a text in chunks: g per full chunk; for a last chunk of c' tokens ceil(c' / r), at least one.
int64_t slots_of(int64_t text, int64_t chunk, int64_t group);

// The append-layout row at each row of `layout`.
std::vector<int64_t> layout_order(const SegmentShape& shape, Layout layout);

// bool [S, S], rows are queries, true = may attend, in the order of `layout`. `padding`: append-layout rows to hide as
// keys.
Tensor dense_mask(const MaskSpec& spec, const SegmentShape& shape, Layout layout = Layout::append,
                  const std::vector<int64_t>& padding = {});

}  // namespace precis

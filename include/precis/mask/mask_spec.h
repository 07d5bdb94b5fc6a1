// The block-wise causal masks of PIC as data (methods.md section 2.1): what may see what, before any matrix exists.
// `dense_mask` is the reference; `block_plan` is what the fast path runs; a property test holds them equal.
#pragma once

#include <string>
#include <vector>

#include "precis/config/config.h"
#include "precis/nn/attention.h"

namespace precis {

enum class Layout { append, interleave };
enum class MemoryToText { own_chunk, up_to, window, global };
using MemoryToMemory = BlockLayout::MemoryToMemory;

struct MaskSpec {
  bool text_in_chunks = false;  // text_scope = chunk
  bool text_sees_earlier_memory = false;
  MemoryToText memory_to_text = MemoryToText::own_chunk;
  int64_t window = 1;  // chunks before its own, for MemoryToText::window
  MemoryToMemory memory_to_memory = MemoryToMemory::causal_all;
  bool memory_sees_prefix = true;

  bool operator==(const MaskSpec&) const = default;
  std::string to_string() const;
};

MaskSpec mask_spec(const MaskConfig& config);  // the preset, then the fields set by hand

// One segment: P prefix rows, L text rows in chunks of c, M slots in groups of g. Without chunks c = L and g = M.
struct SegmentShape {
  int64_t prefix = 0, text = 0, chunk = 1, group = 1, slots = 0;
  int64_t rows() const { return prefix + text + slots; }
};

// Slots of a text cut into chunks: g per full chunk, ceil(c' / r) and at least one for a last chunk of c' tokens.
int64_t slots_of(int64_t text, int64_t chunk, int64_t group);

// Row of the append layout that stands at each row of `layout`.
std::vector<int64_t> layout_order(const SegmentShape& shape, Layout layout);

// bool [S, S], rows are queries, true = may attend, in the order of `layout`. `padding`: append-layout rows hidden as
// keys.
Tensor dense_mask(const MaskSpec& spec, const SegmentShape& shape, Layout layout = Layout::append,
                  const std::vector<int64_t>& padding = {});

// Plans for segments padded to `shape` in append order, of which text_lengths[b] and memory_lengths[b] rows count.
AttentionPlan dense_plan(const MaskSpec& spec, const SegmentShape& shape, const Tensor& text_lengths,
                         const Tensor& memory_lengths);
AttentionPlan block_plan(const MaskSpec& spec, const SegmentShape& shape, const Tensor& text_lengths,
                         const Tensor& memory_lengths);

}  // namespace precis

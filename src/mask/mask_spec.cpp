#include "precis/mask/mask_spec.h"

#include <torch/types.h>

#include "precis/core/error.h"
#include "precis/core/strings.h"

namespace precis {
namespace {

MaskSpec preset(const std::string& name) {
  MaskSpec spec;
  if (name == "pic-strict" || name == "pic-local") spec.memory_to_memory = MemoryToMemory::own_group;
  if (name == "pic-local") spec.memory_sees_prefix = false;
  if (name == "pic-recurrent") spec.text_in_chunks = spec.text_sees_earlier_memory = true;
  if (name == "pic-triangular") spec.memory_to_text = MemoryToText::up_to;
  if (name == "pic-block") {
    spec.text_in_chunks = true;
    spec.memory_to_memory = MemoryToMemory::own_group;
  }
  if (name == "icae") spec.memory_to_text = MemoryToText::global;
  return spec;
}

// The rule of methods.md 2.1 for one pair of rows in append order.
bool may_attend(const MaskSpec& s, const SegmentShape& n, int64_t i, int64_t j) {
  const int64_t P = n.prefix, T = P + n.text;
  const auto text_chunk = [&](int64_t row) { return row < P ? int64_t{-1} : (row - P) / n.chunk; };
  const auto memory_chunk = [&](int64_t row) { return (row - T) / n.group; };
  if (i == j) return true;
  if (i < T && j < T) return j <= i && (!s.text_in_chunks || j < P || text_chunk(i) == text_chunk(j));
  if (i < T) return s.text_sees_earlier_memory && memory_chunk(j) < text_chunk(i);
  if (j < P) return s.memory_sees_prefix;
  const int64_t own = memory_chunk(i);
  if (j < T) {
    switch (s.memory_to_text) {
      case MemoryToText::own_chunk:
        return text_chunk(j) == own;
      case MemoryToText::up_to:
        return text_chunk(j) <= own;
      case MemoryToText::window:
        return own - s.window <= text_chunk(j) && text_chunk(j) <= own;
      case MemoryToText::global:
        return true;
    }
  }
  switch (s.memory_to_memory) {
    case MemoryToMemory::causal_all:
      return j <= i;
    case MemoryToMemory::own_group:
      return j <= i && memory_chunk(j) == own;
    case MemoryToMemory::self_only:
      return false;
  }
  return false;
}

}  // namespace

MaskSpec mask_spec(const MaskConfig& config) {
  MaskSpec spec = preset(config.preset);
  if (!config.text_scope.empty()) spec.text_in_chunks = config.text_scope == "chunk";
  if (!config.text_sees_earlier_memory.empty())
    spec.text_sees_earlier_memory = config.text_sees_earlier_memory == "yes";
  if (!config.memory_sees_prefix.empty()) spec.memory_sees_prefix = config.memory_sees_prefix == "yes";
  if (config.memory_to_text == "own_chunk") spec.memory_to_text = MemoryToText::own_chunk;
  if (config.memory_to_text == "up_to") spec.memory_to_text = MemoryToText::up_to;
  if (config.memory_to_text == "window") spec.memory_to_text = MemoryToText::window;
  if (config.memory_to_text == "global") spec.memory_to_text = MemoryToText::global;
  if (config.memory_to_memory == "causal_all") spec.memory_to_memory = MemoryToMemory::causal_all;
  if (config.memory_to_memory == "own_group") spec.memory_to_memory = MemoryToMemory::own_group;
  if (config.memory_to_memory == "self_only") spec.memory_to_memory = MemoryToMemory::self_only;
  spec.window = config.window;
  return spec;
}

std::string MaskSpec::to_string() const {
  static const char* const to_text[] = {"its own chunk", "chunks up to its own", "a window of chunks", "all text"};
  static const char* const to_memory[] = {"all earlier memory", "its own group", "no other memory"};
  return cat("text sees ", text_in_chunks ? "its own chunk" : "all earlier text",
             text_sees_earlier_memory ? " and earlier memory" : "", "; memory sees ",
             to_text[static_cast<int>(memory_to_text)], " and ", to_memory[static_cast<int>(memory_to_memory)],
             memory_sees_prefix ? "" : ", not the prefix");
}

int64_t slots_of(int64_t text, int64_t chunk, int64_t group) {
  const int64_t tail = text % chunk;
  return text / chunk * group + (tail == 0 ? 0 : std::max<int64_t>(1, (tail * group + chunk - 1) / chunk));
}

std::vector<int64_t> layout_order(const SegmentShape& shape, Layout layout) {
  std::vector<int64_t> order;
  const int64_t T = shape.prefix + shape.text;
  const auto add = [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) order.push_back(i);
  };
  if (layout == Layout::append) {
    add(0, shape.rows());
    return order;
  }
  add(0, shape.prefix);
  for (int64_t chunk = 0; chunk * shape.chunk < shape.text; ++chunk) {
    add(shape.prefix + chunk * shape.chunk, std::min(shape.prefix + (chunk + 1) * shape.chunk, T));
    add(T + chunk * shape.group, std::min(T + (chunk + 1) * shape.group, shape.rows()));
  }
  return order;
}

Tensor dense_mask(const MaskSpec& spec, const SegmentShape& shape, Layout layout, const std::vector<int64_t>& padding) {
  const int64_t S = shape.rows();
  std::vector<bool> padded(static_cast<size_t>(S), false);
  for (const int64_t row : padding) padded.at(static_cast<size_t>(row)) = true;
  const std::vector<int64_t> order = layout_order(shape, layout);
  Tensor mask = torch::empty({S, S}, torch::kBool);
  bool* out = mask.data_ptr<bool>();
  for (const int64_t i : order) {
    for (const int64_t j : order) *out++ = i == j || (!padded[static_cast<size_t>(j)] && may_attend(spec, shape, i, j));
  }
  return mask;
}

}  // namespace precis

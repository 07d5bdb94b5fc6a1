#include "precis/nn/mask_plan.h"

#include <torch/types.h>

namespace precis {

AttentionPlan dense_plan(const MaskSpec& spec, const SegmentShape& shape, const Tensor& text_lengths,
                         const Tensor& memory_lengths) {
  const Tensor prefix = torch::ones({text_lengths.size(0), shape.prefix}, torch::kBool);
  const Tensor valid = torch::cat(
      {prefix, length_mask(text_lengths.cpu(), shape.text), length_mask(memory_lengths.cpu(), shape.slots)}, 1);
  const Tensor itself = torch::eye(shape.rows(), torch::kFloat).to(torch::kBool);
  const Tensor mask = dense_mask(spec, shape).unsqueeze(0).logical_and(valid.unsqueeze(1)).logical_or(itself);
  return AttentionPlan::dense(mask.unsqueeze(1).to(text_lengths.device()));
}

namespace {

constexpr int64_t most_masked_scores = int64_t{1} << 20;  // per head

// The keys that each memory row sees: bool [B, 1, memory, prefix + text + memory].
Tensor memory_mask(const MaskSpec& spec, const SegmentShape& shape, const Tensor& text_lengths) {
  const int64_t B = text_lengths.size(0), M = shape.slots;
  const Tensor text_chunk = torch::arange(shape.text).div(shape.chunk, "floor").unsqueeze(0);
  const Tensor own = torch::arange(M).div(shape.group, "floor").unsqueeze(1);
  Tensor to_text = torch::ones({M, shape.text}, torch::kBool);
  if (spec.memory_to_text == MemoryToText::own_chunk) to_text = text_chunk == own;
  if (spec.memory_to_text == MemoryToText::up_to) to_text = text_chunk <= own;
  if (spec.memory_to_text == MemoryToText::window)
    to_text = (text_chunk <= own).logical_and(text_chunk >= own - spec.window);
  Tensor to_memory = torch::ones({M, M}, torch::kBool).tril();
  if (spec.memory_to_memory == MemoryToMemory::self_only) to_memory = torch::eye(M).to(torch::kBool);
  if (spec.memory_to_memory == MemoryToMemory::own_group) to_memory = to_memory.logical_and(own == own.t());
  const Tensor valid = length_mask(text_lengths.cpu(), shape.text).unsqueeze(1);
  const Tensor to_prefix = torch::full({B, M, shape.prefix}, spec.memory_sees_prefix, torch::kBool);
  const Tensor mask =
      torch::cat({to_prefix, to_text.unsqueeze(0).logical_and(valid), to_memory.unsqueeze(0).expand({B, M, M})}, 2);
  return mask.unsqueeze(1).to(text_lengths.device());
}

}  // namespace

AttentionPlan block_plan(const MaskSpec& spec, const SegmentShape& shape, const Tensor& text_lengths,
                         const Tensor& memory_lengths) {
  // Text that sees all earlier text and also earlier memory has no block structure; no preset uses it.
  if (spec.text_sees_earlier_memory && !spec.text_in_chunks)
    return dense_plan(spec, shape, text_lengths, memory_lengths);
  MaskedSegments segments{.mask = spec, .shape = shape, .text_lengths = text_lengths, .memory_lengths = memory_lengths};
  // On a GPU, a product under a mask is one kernel, chunks are two dozen: chunks are faster for long texts only.
  const int64_t scores = shape.slots * shape.rows();
  const bool by_chunks =
      spec.memory_to_text == MemoryToText::own_chunk && (text_lengths.device().is_cpu() || scores > most_masked_scores);
  if (!by_chunks) segments.memory_mask = memory_mask(spec, shape, text_lengths);
  return AttentionPlan::by_blocks(std::move(segments));
}

}  // namespace precis

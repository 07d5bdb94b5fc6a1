#include "precis/compress/prompt.h"

#include <torch/types.h>

#include "precis/compress/encoder_parts.h"
#include "precis/core/error.h"

namespace precis {

PromptBuilder::PromptBuilder(const Decoder& decoder, const TaskTokens& task)
    : decoder_(decoder),
      task_(task),
      memory_index_(task.memory_index.cpu()),
      items_(static_cast<size_t>(task.ids.size(0))) {
  task_start_ = add_rows(decoder.embed(task.ids).flatten(0, 1));
}

int64_t PromptBuilder::add_rows(const Tensor& rows) {
  const Tensor flat = rows.dim() == 1 ? rows.unsqueeze(0) : rows;
  bank_.push_back(flat.to(decoder_.device(), decoder_.dtype()));
  bank_size_ += flat.size(0);
  return bank_size_ - flat.size(0);
}

int64_t PromptBuilder::add_token(int64_t id) { return add_rows(decoder_.embed(torch::tensor({id}))); }

void PromptBuilder::push(int64_t r, int64_t bank_index, int64_t position) {
  items_[static_cast<size_t>(r)].push_back({bank_index, position, -100});
}

void PromptBuilder::push_task(int64_t r, int64_t first_position) {
  auto& items = items_[static_cast<size_t>(r)];
  const int64_t length = task_.lengths[r].item<int64_t>(), width = task_.ids.size(1);
  const bool training = task_.labels.defined();
  const int64_t* labels = training ? task_.labels.data_ptr<int64_t>() + r * width : nullptr;
  if (training && length > 0 && !items.empty()) items.back().label = labels[0];
  for (int64_t t = 0; t < (training ? length - 1 : length); ++t) {
    items.push_back({task_start_ + r * width + t, first_position + t, training ? labels[t + 1] : -100});
  }
}

DecoderInput PromptBuilder::finish(std::optional<PastKeyValues> past) {
  size_t longest = 1;
  for (const auto& row : items_) longest = std::max(longest, row.size());
  const int64_t R = rows(), T = padded_width(static_cast<int64_t>(longest));
  Tensor index = torch::zeros({R, T}, torch::kLong), positions = torch::zeros({R, T}, torch::kLong);
  Tensor labels = torch::full({R, T}, -100, torch::kLong), lengths = torch::zeros({R}, torch::kLong);
  for (int64_t r = 0; r < R; ++r) {
    const auto& items = items_[static_cast<size_t>(r)];
    check(!items.empty(), "a decoder input without rows");
    lengths.data_ptr<int64_t>()[r] = static_cast<int64_t>(items.size());
    for (size_t t = 0; t < items.size(); ++t) {
      const auto at = static_cast<size_t>(r * T) + t;
      index.data_ptr<int64_t>()[at] = items[t].bank_index;
      positions.data_ptr<int64_t>()[at] = items[t].position;
      labels.data_ptr<int64_t>()[at] = items[t].label;
    }
  }
  decoder_.check_positions(positions);
  const Tensor bank = torch::cat(bank_);
  const Tensor rows = bank.index_select(0, index.flatten().to(bank.device())).view({R, T, -1});
  return {rows, lengths, positions.to(bank.device()), task_.labels.defined() ? labels : Tensor(), std::move(past)};
}

DecoderInput embedding_prompt(const Decoder& decoder, int64_t bos_id, const EmbeddingPrompt& form, const Memory& memory,
                              const TaskTokens& task) {
  const Tensor& rows = std::get<EmbeddingMemory>(memory.content).rows;
  const int64_t M = rows.size(1);
  PromptBuilder builder(decoder, task);
  const int64_t memory_start = builder.add_rows(rows.flatten(0, 1));
  const int64_t bos = form.bos ? builder.add_token(bos_id) : -1;
  if (task.task == Task::ae && !form.rows.ae.defined()) {
    throw Error({.what = "this method has no row that asks for reconstruction",
                 .where = "compressor.method",
                 .found = memory.origin.method,
                 .hint = "train.objectives and eval.tasks without ae, autoencoding and reconstruction"});
  }
  const int64_t ae = task.task == Task::ae ? builder.add_rows(form.rows.ae) : -1;
  const bool markers = form.rows.begin.defined();
  const int64_t begin = markers ? builder.add_rows(form.rows.begin) : -1,
                end = markers ? builder.add_rows(form.rows.end) : -1;
  const Tensor segments = memory.segments.cpu(), positions = memory.position_ids.cpu();
  for (int64_t r = 0; r < builder.rows(); ++r) {
    const int64_t b = builder.memory_of(r), length = memory.lengths[b].item<int64_t>();
    const int64_t* segment = segments.data_ptr<int64_t>() + b * M;
    const int64_t* position = positions.data_ptr<int64_t>() + b * M;
    if (form.bos) builder.push(r, bos, 0);
    for (int64_t j = 0; j < length; ++j) {
      if (markers && (j == 0 || segment[j] != segment[j - 1])) builder.push(r, begin, position[j] - 1);
      builder.push(r, memory_start + b * M + j, position[j]);
      if (markers && (j + 1 == length || segment[j + 1] != segment[j])) builder.push(r, end, position[j] + 1);
    }
    int64_t next = memory.next_position[b].item<int64_t>();
    if (task.task == Task::ae) {
      if (!form.sequential) next = 0;
      builder.push(r, ae, next++);
    }
    builder.push_task(r, next);
  }
  return builder.finish();
}

DecoderInput kv_prompt(const Decoder& decoder, int64_t bos_id, const Memory& memory, const TaskTokens& task) {
  PromptBuilder builder(decoder, task);
  const int64_t bos = bos_id >= 0 ? builder.add_token(bos_id) : -1;
  const bool restarts = task.task == Task::ae && memory.placement.next == MemoryPlacement::Next::source;
  for (int64_t r = 0; r < builder.rows(); ++r) {
    int64_t next = restarts ? 0 : memory.next_position[builder.memory_of(r)].item<int64_t>();
    if (bos >= 0) builder.push(r, bos, next++);
    builder.push_task(r, next);
  }
  return builder.finish(std::get<KvMemory>(memory.content).select(task.memory_index).to(decoder.device()));
}

}  // namespace precis

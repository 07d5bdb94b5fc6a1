// Builds a decoder input row by row from a bank of learned rows, memory rows and token embeddings. Each context's rows
// are packed without gaps, so the decoder runs plain causal attention with right padding.
#pragma once

#include "precis/compress/compressor.h"

namespace precis {

class PromptBuilder {
 public:
  PromptBuilder(const Decoder& decoder, const TaskTokens& task);

  // Adds rows [n, D] (or one row [D]) to the bank; returns the bank index of the first.
  int64_t add_rows(const Tensor& rows);
  int64_t add_token(int64_t id);

  // Appends a bank row to decoder row `r` at position `position`. It is not supervised, except that the last one
  // before the task predicts the task's first token.
  void push(int64_t r, int64_t bank_index, int64_t position);

  // Appends row r's task tokens at positions from `first_position`.
  void push_task(int64_t r, int64_t first_position);

  DecoderInput finish(std::optional<PastKeyValues> past = std::nullopt);

  int64_t rows() const { return static_cast<int64_t>(items_.size()); }
  int64_t memory_of(int64_t r) const { return memory_index_[r].item<int64_t>(); }

 private:
  struct Item {
    int64_t bank_index, position, label;
  };
  const Decoder& decoder_;
  const TaskTokens& task_;
  Tensor memory_index_;
  std::vector<Tensor> bank_;
  int64_t bank_size_ = 0, task_start_;
  std::vector<std::vector<Item>> items_;
};

// The prompt of embedding memories: [BOS] ( <mem> m_1 ... m_M </mem> )* [<ae>] task (methods.md section 2.2).
struct EmbeddingPrompt {
  bool bos = false;
  bool sequential = true;  // rows are numbered from 0; else memory keeps its positions
  PromptRows rows;
};
DecoderInput embedding_prompt(const Decoder& decoder, int64_t bos_id, const EmbeddingPrompt& form, const Memory& memory,
                              const TaskTokens& task);

// The prompt of key/value memories: [BOS] task after the memory, from its next position; for reconstruction, if memory
// keeps positions of the text, from 0. `bos_id` -1: no BOS. (methods.md section 5, 500x.)
DecoderInput kv_prompt(const Decoder& decoder, int64_t bos_id, const Memory& memory, const TaskTokens& task);

}  // namespace precis

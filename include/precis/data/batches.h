// Training batches from question-answering passages. Batch `step` is a pure function of the seed and the step, so a
// resumed run needs nothing but its step number to go on with the same data.
#pragma once

#include "precis/compress/compressor.h"
#include "precis/config/config.h"
#include "precis/data/qa.h"
#include "precis/text/tokenizer.h"

namespace precis {

// Fills "{context}", "{question}", "{answer}" in a template.
std::string fill_template(const std::string& text, const std::string& context, const std::string& question,
                          const std::string& answer);

// Ids of the text that is compressed: the context in its template, behind BOS where the compressor wants it there.
TokenIds context_ids(const Tokenizer& tokenizer, const DataConfig& data, const std::string& context, bool with_bos);

class TrainingSet {
 public:
  // Tokenises all passages once. Passages longer than data.max_context_tokens, and questions longer than
  // data.max_task_tokens, are left out; Error if nothing is left.
  TrainingSet(const std::vector<Passage>& passages, const Tokenizer& tokenizer, const DataConfig& data,
              bool context_with_bos);

  struct Example {
    TokenBatch context;
    TaskTokens task;
    int64_t tokens = 0;  // context and task tokens, padding left out
  };
  // The contexts of batch `step` with a task each: all their sampled questions (qa), themselves (ae), or their own
  // last tokens, which are then no part of the context (lm).
  // Of them the `count` from `first` on (-1: all); every context's part is the same whichever others it comes with;
  // `tokens` is 0 where they have nothing to learn.
  Example batch(uint64_t seed, int64_t step, int64_t contexts, Task task, int64_t first = 0, int64_t count = -1) const;

  // Which of the set's contexts batch `step` has.
  std::vector<size_t> members(uint64_t seed, int64_t step, int64_t contexts) const;

  size_t size() const { return items_.size(); }
  const std::string& hash() const { return hash_; }  // of all tokens, in order

 private:
  struct Answered {
    TokenIds query, answer;
  };
  struct Item {
    TokenIds context;
    std::vector<Answered> questions;
  };
  std::vector<Item> items_;
  DataConfig data_;
  int64_t eos_id_;
  std::string hash_;
};

}  // namespace precis

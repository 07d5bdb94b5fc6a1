// Training contexts from question-answering passages.
#pragma once

#include "precis/data/qa.h"
#include "precis/data/training_set.h"

namespace precis {

class PassageSet : public TrainingSet {
 public:
  // Tokenises all passages once. Skips passages longer than data.max_context_tokens and questions longer than
  // data.max_task_tokens. Throws Error if nothing is left.
  PassageSet(const std::vector<Passage>& passages, const Tokenizer& tokenizer, const DataConfig& data, bool with_bos);

  int64_t size() const override { return static_cast<int64_t>(items_.size()); }
  const std::string& hash() const override { return hash_; }
  void require(Task) const override {}

 protected:
  // lm: the continuation is cut off the end of the context.
  Part part(int64_t member, Task task, uint64_t seed, int64_t step, int64_t place) const override;

 private:
  struct Item {
    TokenIds context;
    std::vector<std::pair<TokenIds, TokenIds>> questions;  // query, answer
  };
  std::vector<Item> items_;
  DataConfig data_;
  bool with_bos_;  // contexts begin with BOS
  int64_t eos_id_;
  std::string hash_;
};

}  // namespace precis

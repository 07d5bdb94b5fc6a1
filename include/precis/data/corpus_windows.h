// Training contexts from prepared corpora: windows of the token stream, each a context and its continuation.
#pragma once

#include "precis/data/prepared.h"
#include "precis/data/training_set.h"

namespace precis {

// Documents are concatenated with the separators of `precis prepare`. The stream is cut into windows of
// max_context_tokens + continuation_tokens (methods.md section 4.4), which may span documents. ae takes a window's
// context, lm also its continuation. With data.min_context_tokens, each batch samples one context length between the
// two limits; contexts always end where the continuation begins.
class CorpusWindows : public TrainingSet {
 public:
  CorpusWindows(const std::vector<std::string>& folders, const Tokenizer& tokenizer, const DataConfig& data,
                bool with_bos);

  int64_t size() const override { return first_window_.back(); }
  const std::string& hash() const override { return hash_; }
  void require(Task task) const override;

 protected:
  Part part(int64_t member, Task task, uint64_t seed, int64_t step, int64_t place) const override;

 private:
  std::vector<std::unique_ptr<PreparedCorpus>> corpora_;
  std::vector<int64_t> first_window_;  // per corpus, then their total
  DataConfig data_;
  int64_t bos_id_, eos_id_;  // bos_id_ -1: contexts do not begin with BOS
  std::string hash_;
};

}  // namespace precis

// Training data for decoders: rows of text for next-token prediction.
#pragma once

#include "precis/data/prepared.h"
#include "precis/data/synth.h"
#include "precis/data/training_set.h"

namespace precis {

// Generated passages followed by questions and answers: BOS, 1 to `entities` passages, questions about any of them,
// EOS. Passages alternate between the invented names of the two splits.
class PretrainingPassages : public TrainingSet {
 public:
  struct Options {
    int64_t contexts = 0, questions = 3, entities = 1;
    double answer_weight = 1;  // of an answer's tokens in the loss; other tokens weigh 1
    uint64_t seed = 1;
  };
  PretrainingPassages(const Options& options, const Tokenizer& tokenizer);

  int64_t size() const override { return options_.contexts; }
  const std::string& hash() const override { return hash_; }
  void require(Task) const override {}

  // Passage `index` of the infinite stream. Training uses only indices below size().
  static Passage passage(const Options& options, int64_t index);

 protected:
  Part part(int64_t member, Task task, uint64_t seed, int64_t step, int64_t place) const override;

 private:
  Options options_;
  const Tokenizer& tokenizer_;
  std::string hash_;
};

// Consecutive windows of a prepared corpus; BOS replaces a window's first token.
class PretrainingWindows : public TrainingSet {
 public:
  // Throws Error if the corpus is shorter than `window` tokens or was prepared with another tokenizer.
  PretrainingWindows(const std::string& folder, const Tokenizer& tokenizer, int64_t window);

  int64_t size() const override { return corpus_.tokens() / window_; }
  const std::string& hash() const override { return hash_; }
  void require(Task) const override {}

 protected:
  Part part(int64_t member, Task task, uint64_t seed, int64_t step, int64_t place) const override;

 private:
  PreparedCorpus corpus_;
  int64_t window_, bos_id_;
  std::string hash_;
};

}  // namespace precis

// What a decoder of our own learns from: rows of text in which every token is predicted from those before it.
#pragma once

#include "precis/data/prepared.h"
#include "precis/data/synth.h"
#include "precis/data/training_set.h"

namespace precis {

// Generated passages followed by questions and answers: BOS, 1 to `entities` passages, questions about any of them,
// EOS. Both stocks of invented names occur in turn.
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

  // Passage `index` of the endless stream; those from size() on are never trained on.
  static Passage passage(const Options& options, int64_t index);

 protected:
  Part part(int64_t member, Task task, uint64_t seed, int64_t step, int64_t place) const override;

 private:
  Options options_;
  const Tokenizer& tokenizer_;
  std::string hash_;
};

// Windows of a prepared corpus, one behind the other; BOS takes the place of a window's first token.
class PretrainingWindows : public TrainingSet {
 public:
  // Error if the corpus is shorter than one window of `window` tokens or was made by another tokenizer.
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

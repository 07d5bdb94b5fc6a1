// Training batches. Batch `step` is a pure function of the seed and the step, so a resumed run needs nothing but its
// step number to go on with the same data.
#pragma once

#include "precis/compress/compressor.h"
#include "precis/config/config.h"
#include "precis/text/tokenizer.h"

namespace precis {

class TrainingSet {
 public:
  virtual ~TrainingSet() = default;

  struct Example {
    TokenBatch context;
    TaskTokens task;
    Tensor weights;      // float [R, T]: of each label in the loss; undefined: 1 each
    int64_t tokens = 0;  // context and task tokens, padding left out
  };
  // The contexts of batch `step` with a task each: all their sampled questions (qa), themselves (ae), or the tokens
  // that go on behind them (lm). Of them the `count` from `first` on (-1: all); every context's part is the same
  // whichever others it comes with; `tokens` is 0 where they have nothing to learn.
  Example batch(uint64_t seed, int64_t step, int64_t contexts, Task task, int64_t first = 0, int64_t count = -1) const;

  // Contexts `first` to `first + count` as they stand in the set, without drawing: to measure on.
  Example in_order(Task task, int64_t first, int64_t count) const;

  // Which of the set's contexts batch `step` has. Every epoch is a seeded permutation of all of them; none is stored.
  std::vector<int64_t> members(uint64_t seed, int64_t step, int64_t contexts) const;

  virtual int64_t size() const = 0;             // contexts
  virtual const std::string& hash() const = 0;  // of all tokens, in order
  virtual void require(Task task) const = 0;    // Error if no context has anything to learn of this kind

 protected:
  // What is given, and what is learned behind it, with weights where they are not 1.
  struct Row {
    TokenIds given, learned;
    std::vector<float> weights;
  };
  // What one context brings to a batch.
  struct Part {
    TokenIds context;  // may be empty for those who learn from rows alone
    std::vector<Row> rows;
  };
  static Example example_of(Task task, std::vector<Part> parts);
  // The part of context `member`, at `place` of the run's contexts. A pure function of all arguments.
  virtual Part part(int64_t member, Task task, uint64_t seed, int64_t step, int64_t place) const = 0;
};

// The sets of a stage: question-answering files, or folders made by `precis prepare`; not both. `with_bos`: BOS is part
// of the text that is compressed.
std::shared_ptr<const TrainingSet> open_training_set(const std::vector<std::string>& paths, const Tokenizer& tokenizer,
                                                     const DataConfig& data, bool with_bos);

}  // namespace precis

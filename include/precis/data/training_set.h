// Training batches. Batch `step` is a pure function of the seed and the step, so a run resumes with the same data from
// its step number alone.
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
    Tensor weights;      // float [R, T]: weight of each label in the loss; undefined: all 1
    int64_t tokens = 0;  // context and task tokens, without padding
  };
  // The contexts of batch `step` with their tasks: sampled questions (qa), the context itself (ae), or its continuation
  // (lm). Returns contexts `first` to `first + count` (-1: all); a context's part does not depend on the others.
  // `tokens` is 0 if they have no training target.
  Example batch(uint64_t seed, int64_t step, int64_t contexts, Task task, int64_t first = 0, int64_t count = -1) const;

  // Contexts `first` to `first + count` in the set's own order, for evaluation.
  Example in_order(Task task, int64_t first, int64_t count) const;

  // The indices of batch `step`'s contexts. Every epoch is a seeded permutation of the set, computed on demand.
  std::vector<int64_t> members(uint64_t seed, int64_t step, int64_t contexts) const;

  virtual int64_t size() const = 0;             // contexts
  virtual const std::string& hash() const = 0;  // of all tokens, in order
  virtual void require(Task task) const = 0;    // throws Error if no context supports this task

 protected:
  // Unsupervised tokens, then supervised ones, with weights unless all are 1.
  struct Row {
    TokenIds given, learned;
    std::vector<float> weights;
  };
  // One context's part of a batch.
  struct Part {
    TokenIds context;  // may be empty for learners that use the rows alone
    std::vector<Row> rows;
  };
  // What reconstruction learns of a context: its text without a BOS in front, then EOS (-1: none).
  static TokenIds reconstruction_of(const TokenIds& context, bool with_bos, int64_t eos_id);
  static Example example_of(Task task, std::vector<Part> parts);
  // The part of context `member`, number `place` of the run's contexts. A pure function of the arguments.
  virtual Part part(int64_t member, Task task, uint64_t seed, int64_t step, int64_t place) const = 0;
};

// The data of a stage: question-answering files or folders made by `precis prepare`, not both. `with_bos`: BOS is part
// of the text to compress.
std::shared_ptr<const TrainingSet> open_training_set(const std::vector<std::string>& paths, const Tokenizer& tokenizer,
                                                     const DataConfig& data, bool with_bos);

}  // namespace precis

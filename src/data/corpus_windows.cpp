#include "precis/data/corpus_windows.h"

#include <algorithm>

#include "precis/core/error.h"
#include "precis/core/hash.h"
#include "precis/core/random.h"
#include "precis/core/strings.h"

namespace precis {

CorpusWindows::CorpusWindows(const std::vector<std::string>& folders, const Tokenizer& tokenizer,
                             const DataConfig& data, bool with_bos)
    : data_(data), bos_id_(with_bos ? tokenizer.bos_id : -1), eos_id_(tokenizer.eos_id) {
  if (data.min_context_tokens > data.max_context_tokens) {
    throw Error({.what = "the minimum context length exceeds the maximum",
                 .where = "data.min_context_tokens",
                 .expected = cat("at most ", data.max_context_tokens, " (data.max_context_tokens)"),
                 .found = cat(data.min_context_tokens)});
  }
  const int64_t window = data.max_context_tokens + data.continuation_tokens;
  Hasher hasher;
  first_window_ = {0};
  for (const auto& folder : folders) {
    corpora_.push_back(std::make_unique<PreparedCorpus>(folder, tokenizer));
    first_window_.push_back(first_window_.back() + corpora_.back()->tokens() / window);
    hasher.update(corpora_.back()->hash());
  }
  if (size() == 0) {
    throw Error({.what = "the corpus is shorter than one window",
                 .where = join(folders, ", "),
                 .expected = cat(window, " tokens (data.max_context_tokens + data.continuation_tokens)"),
                 .found = cat(corpora_.front()->tokens())});
  }
  hash_ = hasher.update(cat(" windows of ", window)).hex();
}

void CorpusWindows::require(Task task) const {
  if (task != Task::qa) return;
  throw Error({.what = "a prepared corpus has no questions",
               .where = "train.objectives.qa",
               .expected = "ae, lm, or distill with distill_task = lm"});
}

TrainingSet::Part CorpusWindows::part(int64_t member, Task task, uint64_t seed, int64_t step, int64_t) const {
  const auto corpus = static_cast<size_t>(std::upper_bound(first_window_.begin(), first_window_.end(), member) -
                                          first_window_.begin() - 1);
  const int64_t longest = data_.max_context_tokens, window = longest + data_.continuation_tokens,
                shortest = data_.min_context_tokens > 0 ? data_.min_context_tokens : longest,
                length = Random(seed, "context length", static_cast<uint64_t>(step)).between(shortest, longest);
  const TokenIds ids = corpora_[corpus]->read((member - first_window_[corpus]) * window, window);
  const auto continuation = ids.begin() + longest;
  Part out{TokenIds(continuation - length, continuation), {}};
  if (bos_id_ >= 0) out.context.front() = bos_id_;
  if (task == Task::lm) {
    out.rows.push_back({.learned = TokenIds(continuation, ids.end())});
  } else {
    out.rows.push_back({.learned = reconstruction_of(out.context, bos_id_ >= 0, eos_id_)});
  }
  return out;
}

}  // namespace precis

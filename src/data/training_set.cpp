#include "precis/data/training_set.h"

#include <torch/torch.h>

#include "precis/core/error.h"
#include "precis/core/random.h"
#include "precis/core/strings.h"
#include "precis/data/corpus_windows.h"
#include "precis/data/passage_set.h"

namespace precis {

std::vector<int64_t> TrainingSet::members(uint64_t seed, int64_t step, int64_t contexts) const {
  std::vector<int64_t> chosen;
  for (int64_t i = step * contexts; i < (step + 1) * contexts; ++i)
    chosen.push_back(Permutation(size(), seed, "epoch", static_cast<uint64_t>(i / size()))(i % size()));
  return chosen;
}

namespace {

// Rows of what is given (not supervised) and what is learned, right-padded.
TaskTokens task_tokens(Task task, const std::vector<std::pair<TokenIds, TokenIds>>& rows,
                       const std::vector<int64_t>& memory_index) {
  std::vector<TokenIds> ids, labels;
  for (const auto& [query, answer] : rows) {
    ids.push_back(query);
    ids.back().insert(ids.back().end(), answer.begin(), answer.end());
    labels.emplace_back(query.size(), -100);
    labels.back().insert(labels.back().end(), answer.begin(), answer.end());
  }
  const TokenBatch tokens = token_batch(ids), targets = token_batch(labels);
  const Tensor padding = length_mask(tokens.lengths, tokens.ids.size(1)).logical_not();
  return {task, tokens.ids, tokens.lengths, targets.ids.masked_fill(padding, -100),
          torch::tensor(memory_index, torch::kLong)};
}

}  // namespace

TrainingSet::Example TrainingSet::batch(uint64_t seed, int64_t step, int64_t contexts, Task task, int64_t first,
                                        int64_t count) const {
  std::vector<TokenIds> texts;
  std::vector<std::pair<TokenIds, TokenIds>> rows;
  std::vector<int64_t> memory_index;
  const std::vector<int64_t> all = members(seed, step, contexts);
  const int64_t end = count < 0 ? contexts : std::min(contexts, first + count);
  for (int64_t i = first; i < end; ++i) {
    Part own = part(all[static_cast<size_t>(i)], task, seed, step, step * contexts + i);
    memory_index.insert(memory_index.end(), own.rows.size(), static_cast<int64_t>(texts.size()));
    texts.push_back(std::move(own.context));
    rows.insert(rows.end(), std::make_move_iterator(own.rows.begin()), std::make_move_iterator(own.rows.end()));
  }
  if (rows.empty() && count >= 0) return {};  // others of the batch have some
  if (rows.empty()) {
    throw Error({.what = "no context of the batch is long enough to hold tokens back for the lm objective",
                 .where = "train.objectives.lm",
                 .expected = "contexts of at least 2 tokens"});
  }
  Example example{token_batch(texts), task_tokens(task, rows, memory_index), 0};
  example.tokens = example.context.lengths.sum().item<int64_t>() + example.task.lengths.sum().item<int64_t>();
  return example;
}

std::shared_ptr<const TrainingSet> open_training_set(const std::vector<std::string>& paths, const Tokenizer& tokenizer,
                                                     const DataConfig& data, bool with_bos) {
  std::vector<std::string> folders;
  for (const auto& path : paths) {
    if (std::filesystem::is_directory(path)) folders.push_back(path);
  }
  if (folders.empty()) return std::make_shared<PassageSet>(read_qa(paths), tokenizer, data, with_bos);
  if (folders.size() != paths.size()) {
    throw Error({.what = "prepared corpora and question-answering files in one stage",
                 .where = "data.train",
                 .expected = "one kind",
                 .found = join(paths, ", "),
                 .hint = "give each a stage of its own (train.stages[].data)"});
  }
  return std::make_shared<CorpusWindows>(folders, tokenizer, data, with_bos);
}

}  // namespace precis

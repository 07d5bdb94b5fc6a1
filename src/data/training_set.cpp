#include "precis/data/training_set.h"

#include <torch/types.h>

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

TrainingSet::Example TrainingSet::example_of(Task task, std::vector<Part> parts) {
  std::vector<TokenIds> texts, ids, labels;
  std::vector<std::vector<float>> weights;
  std::vector<int64_t> memory_index;
  bool weighted = false;
  for (auto& part : parts) {
    for (auto& row : part.rows) {
      memory_index.push_back(static_cast<int64_t>(texts.size()));
      labels.emplace_back(row.given.size(), -100);
      labels.back().insert(labels.back().end(), row.learned.begin(), row.learned.end());
      weighted = weighted || !row.weights.empty();
      weights.emplace_back(row.given.size(), 0.0F);
      if (row.weights.empty()) row.weights.assign(row.learned.size(), 1);
      weights.back().insert(weights.back().end(), row.weights.begin(), row.weights.end());
      ids.push_back(std::move(row.given));
      ids.back().insert(ids.back().end(), row.learned.begin(), row.learned.end());
    }
    texts.push_back(std::move(part.context));
  }
  if (ids.empty()) return {};
  const TokenBatch tokens = token_batch(ids), targets = token_batch(labels);
  const Tensor padding = length_mask(tokens.lengths, tokens.ids.size(1)).logical_not();
  Example out{.context = token_batch(texts),
              .task = {task, tokens.ids, tokens.lengths, targets.ids.masked_fill(padding, -100),
                       torch::tensor(memory_index, torch::kLong)}};
  if (weighted) {
    out.weights = torch::zeros(tokens.ids.sizes());
    for (size_t r = 0; r < weights.size(); ++r)
      std::copy(weights[r].begin(), weights[r].end(), out.weights.data_ptr<float>() + r * tokens.ids.size(1));
  }
  out.tokens = out.context.lengths.sum().item<int64_t>() + out.task.lengths.sum().item<int64_t>();
  return out;
}

TrainingSet::Example TrainingSet::batch(uint64_t seed, int64_t step, int64_t contexts, Task task, int64_t first,
                                        int64_t count) const {
  std::vector<Part> parts;
  bool any = false;
  const std::vector<int64_t> all = members(seed, step, contexts);
  const int64_t end = count < 0 ? contexts : std::min(contexts, first + count);
  for (int64_t i = first; i < end; ++i) {
    parts.push_back(part(all[static_cast<size_t>(i)], task, seed, step, step * contexts + i));
    any = any || !parts.back().rows.empty();
  }
  if (!any && count >= 0) return {};  // other parts of the batch may have rows
  if (!any) {
    throw Error({.what = "no context of the batch is long enough for the lm objective",
                 .where = "train.objectives.lm",
                 .expected = "contexts of at least 2 tokens"});
  }
  return example_of(task, std::move(parts));
}

TokenIds TrainingSet::reconstruction_of(const TokenIds& context, bool with_bos, int64_t eos_id) {
  TokenIds target(context.begin() + (with_bos ? 1 : 0), context.end());
  if (eos_id >= 0) target.push_back(eos_id);
  return target;
}

TrainingSet::Example TrainingSet::in_order(Task task, int64_t first, int64_t count) const {
  std::vector<Part> parts;
  for (int64_t i = first; i < first + count; ++i) parts.push_back(part(i, task, 0, 0, i));
  return example_of(task, std::move(parts));
}

std::shared_ptr<const TrainingSet> open_training_set(const std::vector<std::string>& paths, const Tokenizer& tokenizer,
                                                     const DataConfig& data, bool with_bos) {
  std::vector<std::string> folders;
  for (const auto& path : paths) {
    if (std::filesystem::is_directory(path)) folders.push_back(path);
  }
  if (folders.empty()) return std::make_shared<PassageSet>(read_qa(paths, data), tokenizer, data, with_bos);
  if (folders.size() != paths.size()) {
    throw Error({.what = "a stage cannot mix prepared corpora and question-answering files",
                 .where = "data.train",
                 .expected = "one kind of data",
                 .found = join(paths, ", "),
                 .hint = "use a separate stage for each (train.stages[].data)"});
  }
  return std::make_shared<CorpusWindows>(folders, tokenizer, data, with_bos);
}

}  // namespace precis

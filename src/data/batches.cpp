#include "precis/data/batches.h"

#include <torch/torch.h>

#include <numeric>

#include "precis/core/error.h"
#include "precis/core/hash.h"
#include "precis/core/random.h"
#include "precis/core/strings.h"

namespace precis {

std::string fill_template(const std::string& text, const std::string& context, const std::string& question,
                          const std::string& answer) {
  std::string out;
  for (size_t i = 0; i < text.size();) {  // one pass, so that braces in the data stay as they are
    const std::string_view rest = std::string_view(text).substr(i);
    const auto insert = [&](std::string_view key, const std::string& value) {
      if (!rest.starts_with(key)) return false;
      out += value;
      i += key.size();
      return true;
    };
    if (insert("{context}", context) || insert("{question}", question) || insert("{answer}", answer)) continue;
    out += text[i++];
  }
  return out;
}

TokenIds context_ids(const Tokenizer& tokenizer, const DataConfig& data, const std::string& context, bool with_bos) {
  TokenIds ids = tokenizer.encode(fill_template(data.context_template, context, "", ""));
  if (with_bos) ids.insert(ids.begin(), tokenizer.bos_id);
  return ids;
}

TrainingSet::TrainingSet(const std::vector<Passage>& passages, const Tokenizer& tokenizer, const DataConfig& data,
                         bool context_with_bos)
    : data_(data), eos_id_(tokenizer.eos_id) {
  TokenIds end = tokenizer.encode("\n");
  if (data.answer_end == "eos") {
    if (eos_id_ < 0)
      throw Error({.what = "the tokenizer has no EOS token",
                   .where = "data.answer_end",
                   .expected = "newline",
                   .found = "eos"});
    end = {eos_id_};
  }
  Hasher hasher;
  for (const auto& passage : passages) {
    Item item{context_ids(tokenizer, data, passage.context, context_with_bos), {}};
    if (item.context.empty() || static_cast<int64_t>(item.context.size()) > data.max_context_tokens) continue;
    for (const auto& question : passage.questions) {
      Answered answered{tokenizer.encode(fill_template(data.query_template, passage.context, question.text, "")),
                        tokenizer.encode(fill_template(data.answer_template, passage.context, question.text,
                                                       question.answers.front()))};
      answered.answer.insert(answered.answer.end(), end.begin(), end.end());
      if (static_cast<int64_t>(answered.query.size() + answered.answer.size()) <= data.max_task_tokens)
        item.questions.push_back(std::move(answered));
    }
    if (item.questions.empty()) continue;
    hasher.update(item.context.data(), item.context.size() * sizeof(int64_t));
    for (const auto& [query, answer] : item.questions) {
      hasher.update(query.data(), query.size() * sizeof(int64_t))
          .update(answer.data(), answer.size() * sizeof(int64_t));
    }
    items_.push_back(std::move(item));
  }
  if (items_.empty()) {
    throw Error({.what = "no passage of the training data is short enough",
                 .where = "data.train",
                 .expected = cat("at most ", data.max_context_tokens, " tokens (data.max_context_tokens)")});
  }
  hash_ = hasher.hex();
}

std::vector<size_t> TrainingSet::members(uint64_t seed, int64_t step, int64_t contexts) const {
  std::vector<size_t> chosen, order(items_.size());
  int64_t shuffled_epoch = -1;
  for (int64_t i = step * contexts; i < (step + 1) * contexts; ++i) {
    const int64_t size = static_cast<int64_t>(items_.size()), epoch = i / size;
    if (epoch != shuffled_epoch) {
      std::iota(order.begin(), order.end(), size_t{0});
      Random(seed, "epoch", static_cast<uint64_t>(epoch)).shuffle(order);
      shuffled_epoch = epoch;
    }
    chosen.push_back(order[static_cast<size_t>(i % size)]);
  }
  return chosen;
}

namespace {

// Rows of query (not supervised) and answer (supervised), right-padded.
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
  const std::vector<size_t> all = members(seed, step, contexts);
  const int64_t end = count < 0 ? contexts : std::min(contexts, first + count);
  for (int64_t place = first; place < end; ++place) {
    const Item& item = items_[all[static_cast<size_t>(place)]];
    Random random(seed, "questions", static_cast<uint64_t>(step * contexts + place));
    const auto b = static_cast<int64_t>(texts.size());
    texts.push_back(item.context);
    if (task == Task::ae) {
      TokenIds target = item.context;
      if (eos_id_ >= 0) target.push_back(eos_id_);
      rows.emplace_back(TokenIds{}, std::move(target));
      memory_index.push_back(b);
    } else if (task == Task::lm) {
      const auto length = static_cast<int64_t>(item.context.size());
      const int64_t held_back = std::min(data_.continuation_tokens, length / 2);
      if (held_back == 0) continue;
      const auto cut = item.context.end() - held_back;
      rows.emplace_back(TokenIds{}, TokenIds(cut, item.context.end()));
      texts.back().assign(item.context.begin(), cut);
      memory_index.push_back(b);
    } else {
      std::vector<size_t> order(item.questions.size());
      std::iota(order.begin(), order.end(), size_t{0});
      random.shuffle(order);
      order.resize(std::min(order.size(), static_cast<size_t>(data_.questions_per_context)));
      for (const size_t q : order) {
        rows.emplace_back(item.questions[q].query, item.questions[q].answer);
        memory_index.push_back(b);
      }
    }
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

}  // namespace precis

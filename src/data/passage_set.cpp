#include "precis/data/passage_set.h"

#include <numeric>

#include "precis/core/error.h"
#include "precis/core/hash.h"
#include "precis/core/log.h"
#include "precis/core/random.h"
#include "precis/core/strings.h"
#include "precis/data/templates.h"

namespace precis {

PassageSet::PassageSet(const std::vector<Passage>& passages, const Tokenizer& tokenizer, const DataConfig& data,
                       bool with_bos)
    : data_(data), with_bos_(with_bos), eos_id_(tokenizer.eos_id) {
  TokenIds end = data.answer_end == "newline" ? tokenizer.encode("\n") : TokenIds();
  if (data.answer_end == "eos") {
    if (eos_id_ < 0)
      throw Error({.what = "the tokenizer has no EOS token",
                   .where = "data.answer_end",
                   .expected = "newline",
                   .found = "eos"});
    end = {eos_id_};
  }
  Hasher hasher;
  int64_t long_contexts = 0, long_questions = 0;
  for (const auto& passage : passages) {
    Item item{context_ids(tokenizer, data, passage.context, with_bos), {}};
    const bool is_long = static_cast<int64_t>(item.context.size()) > data.max_context_tokens;
    long_contexts += is_long ? 1 : 0;
    if (item.context.empty() || is_long) continue;
    for (const auto& question : passage.questions) {
      const TemplateFields fields{passage.context, question.text, question.answers.front()};
      TokenIds query = encode_template(tokenizer, data.query_template, {fields.context, fields.question, ""});
      TokenIds answer = encode_template(tokenizer, data.answer_template, fields);
      answer.insert(answer.end(), end.begin(), end.end());
      if (static_cast<int64_t>(query.size() + answer.size()) <= data.max_task_tokens)
        item.questions.emplace_back(std::move(query), std::move(answer));
      else
        ++long_questions;
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
    throw Error({.what = "every passage of the training data is too long",
                 .where = "data.train",
                 .expected = cat("at most ", data.max_context_tokens, " tokens (data.max_context_tokens)")});
  }
  hash_ = hasher.hex();
  if (long_contexts + long_questions > 0)
    log::info(cat("left out of training: ", long_contexts, " contexts of more than ", data.max_context_tokens,
                  " tokens (data.max_context_tokens), ", long_questions, " questions of more than ",
                  data.max_task_tokens, " with their answers (data.max_task_tokens)"));
}

TrainingSet::Part PassageSet::part(int64_t member, Task task, uint64_t seed, int64_t, int64_t place) const {
  const Item& item = items_[static_cast<size_t>(member)];
  Part out{item.context, {}};
  if (task == Task::ae) {
    out.rows.push_back({.learned = reconstruction_of(item.context, with_bos_, eos_id_)});
  } else if (task == Task::lm) {
    const auto length = static_cast<int64_t>(item.context.size());
    const int64_t held_back = std::min(data_.continuation_tokens, length / 2);
    const auto cut = item.context.end() - held_back;
    if (held_back > 0) out.rows.push_back({.learned = TokenIds(cut, item.context.end())});
    out.context.resize(static_cast<size_t>(length - held_back));
  } else {
    std::vector<size_t> order(item.questions.size());
    std::iota(order.begin(), order.end(), size_t{0});
    Random(seed, "questions", static_cast<uint64_t>(place)).shuffle(order);
    order.resize(std::min(order.size(), static_cast<size_t>(data_.questions_per_context)));
    for (const size_t q : order) out.rows.push_back({item.questions[q].first, item.questions[q].second, {}});
  }
  return out;
}

}  // namespace precis

#include "precis/data/pretraining_set.h"

#include "precis/core/error.h"
#include "precis/core/hash.h"
#include "precis/core/random.h"
#include "precis/core/strings.h"

namespace precis {

PretrainingPassages::PretrainingPassages(const Options& options, const Tokenizer& tokenizer)
    : options_(options), tokenizer_(tokenizer) {
  Hasher hasher;
  hash_ = hasher
              .update(cat(tokenizer.hash(), " ", options.contexts, " ", options.questions, " ", options.entities, " ",
                          options.answer_weight, " ", options.seed))
              .hex();
}

Passage PretrainingPassages::passage(const Options& o, int64_t index) {
  const SynthOptions synth{.questions = o.questions,
                           .entities = Random(o.seed, "entities", static_cast<uint64_t>(index)).between(1, o.entities),
                           .seed = o.seed + 1000003,
                           .split = index % 2 == 0 ? "train" : "eval"};
  return synth_passage(synth, index);
}

TrainingSet::Part PretrainingPassages::part(int64_t member, Task, uint64_t, int64_t, int64_t) const {
  const Passage passage = PretrainingPassages::passage(options_, member);
  Row row{.given = {tokenizer_.bos_id}};
  const auto add = [&](const TokenIds& ids, double weight) {
    row.learned.insert(row.learned.end(), ids.begin(), ids.end());
    row.weights.insert(row.weights.end(), ids.size(), static_cast<float>(weight));
  };
  add(tokenizer_.encode(passage.context), 1);
  for (const auto& question : passage.questions) {
    add(tokenizer_.encode(cat("\nQuestion: ", question.text, "\nAnswer:")), 1);
    add(tokenizer_.encode(" " + question.answers[0]), options_.answer_weight);
    add(tokenizer_.encode("\n"), options_.answer_weight);
  }
  add({tokenizer_.eos_id}, 1);
  Part out;
  out.rows.push_back(std::move(row));
  return out;
}

PretrainingWindows::PretrainingWindows(const std::string& folder, const Tokenizer& tokenizer, int64_t window)
    : corpus_(folder, tokenizer), window_(window), bos_id_(tokenizer.bos_id) {
  if (size() == 0) {
    throw Error({.what = "the corpus is shorter than one window",
                 .where = folder,
                 .expected = cat(window, " tokens"),
                 .found = cat(corpus_.tokens())});
  }
  if (bos_id_ < 0)
    throw Error({.what = "the tokenizer has no BOS token", .where = folder, .expected = "a tokenizer with BOS"});
  Hasher hasher;
  hash_ = hasher.update(cat(corpus_.hash(), " windows of ", window)).hex();
}

TrainingSet::Part PretrainingWindows::part(int64_t member, Task, uint64_t, int64_t, int64_t) const {
  TokenIds ids = corpus_.read(member * window_, window_);
  Part out;
  out.rows.push_back({.given = {bos_id_}, .learned = TokenIds(ids.begin() + 1, ids.end())});
  return out;
}

}  // namespace precis

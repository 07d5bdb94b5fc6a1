#include "precis/eval/train_run.h"

#include <algorithm>
#include <iterator>
#include <set>

#include "precis/compress/checkpoint.h"
#include "precis/config/schema.h"
#include "precis/core/log.h"
#include "precis/data/evaluation_set.h"
#include "precis/eval/tasks.h"

namespace precis {
namespace {

// The questions of this process's share of the contexts: a context that two processes read would count twice in the
// tasks that score contexts.
std::vector<AskedQuestion> own_share(const std::vector<AskedQuestion>& all, int64_t rank, int64_t size) {
  std::vector<const Passage*> contexts;
  for (const auto& asked : all) {
    if (contexts.empty() || contexts.back() != asked.passage) contexts.push_back(asked.passage);
  }
  const auto n = static_cast<int64_t>(contexts.size());
  const std::set<const Passage*> own(contexts.begin() + rank * n / size, contexts.begin() + (rank + 1) * n / size);
  std::vector<AskedQuestion> out;
  std::copy_if(all.begin(), all.end(), std::back_inserter(out),
               [&](const AskedQuestion& asked) { return own.contains(asked.passage); });
  return out;
}

// Evaluates this process's share of the questions; every process gets the scores over all of them.
Evaluate evaluation(const Config& config, const Tokenizer& tokenizer, const std::vector<AskedQuestion>& dev,
                    const ProcessGroup& group) {
  return [&](Compressor& trained) -> Json {
    const std::vector<AskedQuestion> own = own_share(dev, group.rank(), group.size());
    Json line;
    for (const auto& task : config.train.eval_tasks) {
      // Every process needs the measures' names, even one without questions.
      const auto scores = run_task(task, *read_memory(trained, tokenizer, config), tokenizer, config,
                                   own.empty() ? std::vector{dev.front()} : own);
      if (!scores) continue;
      for (const Measure& measure : scores->measures) {
        std::vector<double> sums(measure.items.front().size());
        for (const auto& item : measure.items) {
          for (size_t k = 0; k < sums.size() && !own.empty(); ++k) sums[k] += item[k];
        }
        line[measure.name] = measure.value(group.sum(sums));
      }
    }
    line["questions"] = dev.size();
    return line;
  };
}

}  // namespace

TrainResult train_run(const Config& config, const CompressorRegistry& registry, std::shared_ptr<const Decoder> decoder,
                      const Tokenizer& tokenizer, const ProcessGroup& group) {
  if (config.train.stages.empty()) require_set(config, {"data.train"});
  const bool evaluates = config.train.eval_interval > 0 || config.train.eval_seconds > 0;
  if (evaluates) require_set(config, {"data.eval"});
  const std::vector<Passage> dev_passages =
      evaluates ? read_evaluation_set(config.data.eval, tokenizer, config.data, config.train.eval_limit,
                                      config.eval.max_context_tokens)
                : std::vector<Passage>{};
  const auto compressor =
      registry.make(config.compressor, surroundings_of(decoder, tokenizer, static_cast<uint64_t>(config.run.seed)));
  if (!config.train.start_from.empty()) {
    const auto start = load_compressor(config.train.start_from, registry, decoder, tokenizer);
    load_trained_tensors(*compressor, trained_tensors(*start), config.train.start_from);
    log::info("starting from " + config.train.start_from);
  }
  std::vector<TrainingStage> work;
  for (const auto& stage : stages_of(config)) {
    DataConfig data = config.data;
    data.min_context_tokens = stage.min_context_tokens;
    data.max_context_tokens = stage.max_context_tokens;
    work.push_back({stage, open_training_set(stage.data, tokenizer, data, compressor->context_begins_with_bos())});
  }
  const std::vector<AskedQuestion> dev = list_questions(dev_passages, config.train.eval_limit);
  return train(*compressor, work, config, evaluates ? evaluation(config, tokenizer, dev, group) : Evaluate(), group);
}

}  // namespace precis

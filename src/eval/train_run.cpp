#include "precis/eval/train_run.h"

#include "precis/compress/checkpoint.h"
#include "precis/config/schema.h"
#include "precis/core/log.h"
#include "precis/eval/tasks.h"

namespace precis {
namespace {

// Answers this process's part of the questions; all processes get the scores of all.
Evaluate evaluation(const Config& config, const Tokenizer& tokenizer, const std::vector<AskedQuestion>& dev,
                    const ProcessGroup& group) {
  return [&](Compressor& trained) -> Json {
    const auto n = static_cast<int64_t>(dev.size()), rank = group.rank(), size = group.size();
    const std::vector<AskedQuestion> own(dev.begin() + rank * n / size, dev.begin() + (rank + 1) * n / size);
    std::vector<double> sums(2);  // of exact match and F1, in percent
    if (!own.empty()) {
      const auto scores = run_task("qa", *read_memory(trained, tokenizer, config), tokenizer, config, own);
      for (size_t m = 0; m < sums.size(); ++m)
        sums[m] = value_of(scores->measures[m]) * static_cast<double>(own.size());
    }
    sums = group.sum(sums);
    return {{"em_percent", sums[0] / static_cast<double>(n)},
            {"f1_percent", sums[1] / static_cast<double>(n)},
            {"questions", n}};
  };
}

}  // namespace

TrainResult train_run(const Config& config, const CompressorRegistry& registry, std::shared_ptr<const Decoder> decoder,
                      const Tokenizer& tokenizer, const ProcessGroup& group) {
  if (config.train.stages.empty()) require_set(config, {"data.train"});
  const bool evaluates = config.train.eval_interval > 0 || config.train.eval_seconds > 0;
  if (evaluates) require_set(config, {"data.eval"});
  const std::vector<Passage> dev_passages = evaluates ? read_qa(config.data.eval) : std::vector<Passage>{};
  const auto compressor =
      registry.make(config.compressor, surroundings_of(decoder, tokenizer, static_cast<uint64_t>(config.run.seed)));
  if (!config.train.start_from.empty()) {
    const auto start = load_compressor(config.train.start_from, registry, decoder, tokenizer);
    load_trained_tensors(*compressor, trained_tensors(*start), config.train.start_from);
    log::info("starting from " + config.train.start_from);
  }
  std::vector<TrainingStage> work;
  for (const auto& stage : stages_of(config)) {
    work.push_back(
        {stage, open_training_set(stage.data, tokenizer, config.data, compressor->context_begins_with_bos())});
  }
  const std::vector<AskedQuestion> dev = list_questions(dev_passages, config.train.eval_limit);
  return train(*compressor, work, config, evaluates ? evaluation(config, tokenizer, dev, group) : Evaluate(), group);
}

}  // namespace precis

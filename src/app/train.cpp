#include <cstdio>

#include "commands.h"
#include "precis/compress/checkpoint.h"
#include "precis/config/schema.h"
#include "precis/core/log.h"
#include "precis/core/strings.h"
#include "precis/eval/answer.h"
#include "precis/train/plan.h"
#include "precis/train/trainer.h"

namespace precis {

namespace {

// Answers this process's part of the questions; all processes get the scores of all.
Evaluate evaluation(const Config& config, const Workspace& workspace, const std::vector<AskedQuestion>& dev,
                    const ProcessGroup& group) {
  return [&](Compressor& trained) -> Json {
    const auto n = static_cast<int64_t>(dev.size()), rank = group.rank(), size = group.size();
    const std::vector<AskedQuestion> own(dev.begin() + rank * n / size, dev.begin() + (rank + 1) * n / size);
    double em = 0, f1 = 0;
    if (!own.empty()) {
      const QaScore score = score_answers(own, answer_from_memory(trained, *workspace.tokenizer, config, own).texts);
      em = score.em * static_cast<double>(own.size());
      f1 = score.f1 * static_cast<double>(own.size());
    }
    const auto all = group.sum({em, f1});
    return {{"em_percent", all[0] / static_cast<double>(n)},
            {"f1_percent", all[1] / static_cast<double>(n)},
            {"questions", n}};
  };
}

}  // namespace

void run_train(const Config& config, const CompressorRegistry& registry, bool json) {
  require_set(config, {"model.path", "run.dir"});
  if (config.train.stages.empty()) require_set(config, {"data.train"});
  const bool evaluates = config.train.eval_interval > 0 || config.train.eval_seconds > 0;
  if (evaluates) require_set(config, {"data.eval"});
  const std::vector<StageConfig> stages = stages_of(config);
  std::vector<std::vector<Passage>> passages;
  for (const auto& stage : stages) passages.push_back(read_qa(stage.data));
  const std::vector<Passage> dev_passages = evaluates ? read_qa(config.data.eval) : std::vector<Passage>{};
  const ProcessGroup group = ProcessGroup::from_environment(config.model.device, config.run.process_timeout);
  if (!group.leads()) log::set_level(log::Level::warn);
  const Workspace workspace = open_workspace(config);
  const auto compressor = registry.make(config.compressor, surroundings_of(workspace.decoder, *workspace.tokenizer,
                                                                           static_cast<uint64_t>(config.run.seed)));
  if (!config.train.start_from.empty()) {
    const auto start = load_compressor(config.train.start_from, registry, workspace.decoder, *workspace.tokenizer);
    load_trained_tensors(*compressor, trained_tensors(*start), config.train.start_from);
    log::info("starting from " + config.train.start_from);
  }
  std::vector<TrainingStage> work;
  for (size_t i = 0; i < stages.size(); ++i) {
    work.push_back({stages[i], std::make_shared<TrainingSet>(passages[i], *workspace.tokenizer, config.data,
                                                             compressor->context_begins_with_bos())});
  }
  const std::vector<AskedQuestion> dev = list_questions(dev_passages, config.train.eval_limit);
  const TrainResult result =
      train(*compressor, work, config, evaluates ? evaluation(config, workspace, dev, group) : Evaluate(), group);
  if (!group.leads()) return;
  if (result.already_finished)
    log::info(config.run.dir + " is already finished; raise train.steps or train.max_seconds to go on");
  if (json) {
    std::printf("%s\n", Json{{"run", config.run.dir},
                             {"steps", result.steps},
                             {"train_seconds", result.train_seconds},
                             {"already_finished", result.already_finished}}
                            .dump()
                            .c_str());
  } else {
    std::printf("%s: %lld steps in %.0f s\n", config.run.dir.c_str(), static_cast<long long>(result.steps),
                result.train_seconds);
  }
}

void run_plan(const Config& config, const CompressorRegistry& registry) {
  std::printf("%s\n", training_plan(config, registry).dump(2).c_str());
}

}  // namespace precis

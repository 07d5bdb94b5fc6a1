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

void run_train(const Config& config, const CompressorRegistry& registry, bool json) {
  require_set(config, {"model.path", "data.train", "run.dir"});
  const bool evaluates = config.train.eval_interval > 0 || config.train.eval_seconds > 0;
  if (evaluates) require_set(config, {"data.eval"});
  const std::vector<Passage> passages = read_qa(config.data.train);
  const std::vector<Passage> dev_passages = evaluates ? read_qa(config.data.eval) : std::vector<Passage>{};
  const Workspace workspace = open_workspace(config);
  const auto compressor = registry.make(config.compressor, surroundings_of(workspace.decoder, *workspace.tokenizer,
                                                                           static_cast<uint64_t>(config.run.seed)));
  if (!config.train.start_from.empty()) {
    const auto start = load_compressor(config.train.start_from, registry, workspace.decoder, *workspace.tokenizer);
    load_trained_tensors(*compressor, trained_tensors(*start), config.train.start_from);
    log::info("starting from " + config.train.start_from);
  }
  const TrainingSet data(passages, *workspace.tokenizer, config.data, compressor->context_begins_with_bos());

  const std::vector<AskedQuestion> dev = list_questions(dev_passages, config.train.eval_limit);
  Evaluate evaluate;
  if (evaluates) {
    evaluate = [&](Compressor& trained) -> Json {
      const QaScore score = score_answers(dev, answer_from_memory(trained, *workspace.tokenizer, config, dev).texts);
      return {{"em_percent", score.em}, {"f1_percent", score.f1}, {"questions", score.questions}};
    };
  }
  const TrainResult result = train(*compressor, data, config, evaluate);
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

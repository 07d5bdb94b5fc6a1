#include <cstdio>

#include "commands.h"
#include "precis/config/schema.h"
#include "precis/core/log.h"
#include "precis/eval/train_run.h"
#include "precis/train/plan.h"

namespace precis {

void run_train(const Config& config, const CompressorRegistry& registry, bool json) {
  require_set(config, {"model.path", "run.dir"});
  const ProcessGroup group = ProcessGroup::from_environment(config.model.device, config.run.process_timeout);
  if (!group.leads()) log::set_level(log::Level::warn);
  const Workspace workspace = open_workspace(config);
  const TrainResult result = train_run(config, registry, workspace.decoder, *workspace.tokenizer, group);
  if (!group.leads()) return;
  if (result.already_finished)
    log::info(config.run.dir + " is already finished; raise train.steps or train.max_seconds to continue");
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

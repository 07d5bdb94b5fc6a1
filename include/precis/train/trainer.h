// The trainer: trains any Learner, independent of the method. Resumable at any step; stops by steps, by time or at a
// target score; runs in one process or several.
#pragma once

#include "precis/compress/compressor.h"
#include "precis/config/config.h"
#include "precis/core/json.h"
#include "precis/data/training_set.h"
#include "precis/train/learner.h"
#include "precis/train/process_group.h"

namespace precis {

// A stage; unset fields are taken from config.train.
struct TrainingStage {
  StageConfig settings;
  std::shared_ptr<const TrainingSet> data;
};
std::vector<StageConfig> stages_of(const Config& config);

// An evaluation during training; returns fields for metrics.jsonl ("em_percent", ...). Every process of a group calls
// it at the same step and must return the same.
using Evaluate = std::function<Json(Compressor&)>;

struct TrainResult {
  int64_t steps = 0;
  double train_seconds = 0;  // without evaluations
  bool already_finished = false;
};

// Trains `compressor` in config.run.dir, resuming from the newest checkpoint. After a signal, saves and throws Error of
// kind interrupted. In a group, every process calls it with the same arguments, takes its share of every batch, and the
// first one writes.
TrainResult train(Compressor& compressor, const std::vector<TrainingStage>& stages, const Config& config,
                  const Evaluate& evaluate = {}, const ProcessGroup& group = ProcessGroup());

// The same for any learner; `evaluate` may be empty.
TrainResult train(Learner& learner, const std::vector<TrainingStage>& stages, const Config& config,
                  const std::function<Json()>& evaluate, const ProcessGroup& group = ProcessGroup());

// One stage, on `data`.
TrainResult train(Compressor& compressor, const TrainingSet& data, const Config& config, const Evaluate& evaluate = {});

}  // namespace precis

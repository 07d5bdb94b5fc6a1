// The trainer: knows Compressor and objectives, no method's name. Resumable at any step; stops by steps or by time.
#pragma once

#include "precis/compress/compressor.h"
#include "precis/config/config.h"
#include "precis/data/batches.h"

namespace precis {

// An evaluation in the middle of training; returns what goes into metrics.jsonl ("em_percent", ...).
using Evaluate = std::function<Json(Compressor&)>;

struct TrainResult {
  int64_t steps = 0;
  double train_seconds = 0;  // evaluations not counted
  bool already_finished = false;
};

// Trains `compressor` in config.run.dir, going on from its newest checkpoint. Throws Error of kind interrupted after a
// clean save when a signal came.
TrainResult train(Compressor& compressor, const TrainingSet& data, const Config& config, const Evaluate& evaluate = {});

// Token-mean loss of batch `step` over the configured objectives (methods.md section 7), and its tokens.
struct StepLoss {
  Tensor loss;
  int64_t tokens = 0;
};
StepLoss step_loss(Compressor& compressor, const TrainingSet& data, const Config& config, int64_t step);

}  // namespace precis

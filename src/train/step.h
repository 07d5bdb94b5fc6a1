// The gradients of one optimiser step: batches prepared in the background, objectives, micro-batches, processes.
#pragma once

#include <future>

#include "precis/train/adamw.h"
#include "precis/train/learner.h"
#include "precis/train/trainer.h"

namespace precis {

// This process's share of a step: micro-batches by objective.
struct StepWork {
  std::vector<Objective> objectives;
  std::vector<std::vector<TrainingSet::Example>> examples;
};

// Prepares the work of the next step while this one runs. Work is a pure function of the step.
class WorkQueue {
 public:
  WorkQueue(const std::vector<TrainingStage>& stages, const Config& config, const ProcessGroup& group)
      : stages_(stages), config_(config), group_(group) {}
  StepWork take(size_t stage, int64_t step, bool prepare_next);

 private:
  StepWork prepare(size_t stage, int64_t step) const;

  const std::vector<TrainingStage>& stages_;
  const Config& config_;
  const ProcessGroup& group_;
  std::future<StepWork> next_;
  size_t next_stage_ = 0;
  int64_t next_step_ = -1;
};

// Summed over all processes.
struct StepResult {
  double loss = 0, gradient_norm = 0;
  int64_t tokens = 0;
  double seconds = 0;  // of the first process
  bool interrupted = false;
  bool finite() const;
};

// Sets the optimiser's gradients to those of the token-mean loss over the whole batch (methods.md section 7): sum over
// objectives of weight / weights * sum of losses / number of supervised tokens.
StepResult compute_gradients(Learner& learner, AdamW& optimizer, const StepWork& work, const ObjectiveConfig& settings,
                             uint64_t dropout_seed, double clip, const ProcessGroup& group, StepSeconds& seconds);

}  // namespace precis

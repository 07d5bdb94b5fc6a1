// Training objectives (methods.md section 7): reconstruction, continuation, question answering, and distillation from
// the decoder with the full context.
#pragma once

#include <string>
#include <vector>

#include "precis/compress/compressor.h"
#include "precis/config/config.h"

namespace precis {

struct Objective {
  std::string name;  // ae | lm | qa | distill
  Task task;         // the task that supplies its tokens
  double weight;
};

// The objectives of a step: all with a weight above 0, or one sampled by weight (mix = sample), then with weight 1.
// Throws Error if no weight is above 0.
std::vector<Objective> objectives_of(const ObjectiveConfig& config, uint64_t seed, int64_t step);

// Distillation: sum over the supervised rows of T^2 KL(teacher || student), both at temperature T. The teacher is the
// decoder itself, with `context` before the same task tokens and without gradient. Labels only select the rows to
// compare. `input`: compressor.prompt(memory, task).
LossSum distillation_loss(const Decoder& decoder, const DecoderInput& input, const TokenBatch& context,
                          const TaskTokens& task, int64_t bos_id, const ObjectiveConfig& config);

// The task with its first token unsupervised: keys and values without BOS cannot predict it.
TaskTokens without_first_label(TaskTokens task);

}  // namespace precis

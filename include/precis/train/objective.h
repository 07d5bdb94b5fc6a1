// What is learned (methods.md section 7): reconstruction, continuation, question answering, and distillation from the
// decoder with the full context.
#pragma once

#include <string>
#include <vector>

#include "precis/compress/compressor.h"
#include "precis/config/config.h"

namespace precis {

struct Objective {
  std::string name;  // ae | lm | qa | distill
  Task task;         // whose tokens it takes
  double weight;
};

// The objectives of a step: all with a weight, or one drawn by weight (mix = sample), then with weight 1.
// Error if none has a weight.
std::vector<Objective> objectives_of(const ObjectiveConfig& config, uint64_t seed, int64_t step);

// Distillation: sum over the supervised rows of T^2 KL(teacher || student), both softened by the temperature T. The
// teacher is the decoder itself with `context` in front of the same task tokens; it takes no gradient. Labels say where
// to compare, never what is right. `input`: compressor.prompt(memory, task).
LossSum distillation_loss(const Decoder& decoder, const DecoderInput& input, const TokenBatch& context,
                          const TaskTokens& task, int64_t bos_id, const ObjectiveConfig& config);

// The task with its first token not supervised, which keys and values without BOS cannot predict.
TaskTokens without_first_label(TaskTokens task);

}  // namespace precis

// A small decoder of our own, for experiments that must end within minutes: Llama-shaped, trained by next-token
// prediction on generated passages with questions, so that it answers from the context it reads.
#pragma once

#include <filesystem>
#include <string>

#include "precis/core/json.h"

namespace precis {

struct PretrainOptions {
  int64_t hidden = 128, layers = 4, heads = 4, kv_heads = 2, intermediate = 352, vocabulary = 1024;
  int64_t steps = 20000, batch = 16, warmup_steps = 200, questions = 3, save_interval = 500, log_interval = 100;
  double learning_rate = 2e-3, answer_weight = 10;  // of an answer's tokens in the loss; other tokens weigh 1
  int64_t entities = 1;                             // a text has 1 to so many passages, and questions about any of them
  uint64_t seed = 1;
  std::string start_from;  // a folder that `pretrain` made: its shape, tokenizer and weights; else from nothing
};
Json to_json(const PretrainOptions& options);

// Trains in `folder` and writes a Hugging Face folder there: config.json, model.safetensors, tokenizer.model,
// tokenizer_config.json, generation_config.json and training.json (options, losses). RMSNorm gains stay 1. Run again in
// the same folder it goes on from its last save, to the bit; a finished folder is left as it is. Returns training.json.
// Error if `start_from` is no such folder.
Json pretrain(const PretrainOptions& options, const std::filesystem::path& folder);

}  // namespace precis

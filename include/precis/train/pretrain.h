// A small decoder of our own, for experiments that must end within minutes: Llama-shaped, trained by next-token
// prediction on generated passages with questions, so that it answers from the context it reads, or on a corpus.
#pragma once

#include <filesystem>
#include <string>

#include "precis/core/json.h"
#include "precis/train/process_group.h"

namespace precis {

struct PretrainOptions {
  int64_t hidden = 128, layers = 4, heads = 4, kv_heads = 2, intermediate = 352, vocabulary = 1024;
  int64_t steps = 20000, batch = 16, warmup_steps = 200, save_interval = 500, log_interval = 100, eval_interval = 500;
  double learning_rate = 2e-3;
  uint64_t seed = 1;
  std::string dtype = "float32";  // of products; the trained weights and their moments are float32
  std::string start_from;         // a folder that `pretrain` made: its shape, tokenizer and weights; else from nothing

  // Generated passages, where no corpus is given.
  int64_t questions = 3, entities = 1;  // a text has 1 to so many passages, and questions about any of them
  double answer_weight = 10;            // of an answer's tokens in the loss; other tokens weigh 1

  // A corpus made by `precis prepare`, and one to measure on; `tokenizer` is the one they were made with.
  std::string corpus, held_out, tokenizer;
  int64_t context = 256;  // tokens of a row
};
Json to_json(const PretrainOptions& options);

// Trains in `folder` and writes a Hugging Face folder there: config.json, model.safetensors (bf16), tokenizer.model,
// tokenizer_config.json, generation_config.json and training.json (options, losses). RMSNorm gains stay 1. The run is
// the trainer's (folder/training until it is finished): interrupted or killed, it resumes to the bit; in a group every
// process takes its share of each batch. A finished folder is left as it is. Returns training.json. Error if the folder
// holds a decoder with other options, or `start_from` is no such folder.
Json pretrain(const PretrainOptions& options, const std::filesystem::path& folder,
              const ProcessGroup& group = ProcessGroup());

}  // namespace precis

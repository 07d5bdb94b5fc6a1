// Pretraining of a small Llama-shaped decoder, for experiments that must finish within minutes: next-token prediction
// on generated passages with questions, so that it answers from its context, or on a corpus.
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
  std::string start_from;  // a folder made by `pretrain`: reuse its shape, tokenizer and weights; "": from scratch

  // Generated passages, if no corpus is given.
  int64_t questions = 3, entities = 1;  // a text has 1 to `entities` passages, and questions about any of them
  double answer_weight = 10;            // weight of an answer's tokens in the loss; other tokens: 1

  // A corpus made by `precis prepare`, and a held-out one; `tokenizer` is the one they were prepared with.
  std::string corpus, held_out, tokenizer;
  int64_t context = 256;  // tokens per row
};
Json to_json(const PretrainOptions& options);

// Trains in `folder` and writes a Hugging Face folder there: config.json, model.safetensors (bf16), tokenizer.model,
// tokenizer_config.json, generation_config.json and training.json (options, losses). RMSNorm gains stay 1. The run
// folder is folder/training until the run is finished; an interrupted or killed run resumes bit for bit. In a group,
// every process takes its share of each batch. A finished folder is left unchanged. Returns training.json. Throws Error
// if the folder holds a decoder with other options, or if `start_from` was not made by `pretrain`.
Json pretrain(const PretrainOptions& options, const std::filesystem::path& folder,
              const ProcessGroup& group = ProcessGroup());

}  // namespace precis

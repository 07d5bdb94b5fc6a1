// A training run small enough to repeat many times: a tiny decoder, a tokenizer of single letters, generated passages.
#pragma once

#include "precis/data/passage_set.h"
#include "precis/train/trainer.h"
#include "support.h"

namespace precis::testing {

void write_letter_tokenizer(const std::filesystem::path& folder);  // tokenizer.json
std::unique_ptr<Tokenizer> letter_tokenizer();
std::vector<Passage> passages(uint64_t seed = 1);
Config training_config(const std::filesystem::path& run, const std::vector<std::string>& overrides = {});

// All stages of the configuration on passages(data_seed).
TrainResult run_training(const Config& config, uint64_t data_seed = 1, const ProcessGroup& group = ProcessGroup(),
                         const std::string& device = "cpu");

// [step, loss] of each line of the run's metrics.
std::vector<Json> losses(const std::filesystem::path& run);

}  // namespace precis::testing

// A whole training run from its configuration: data, compressor, stages, periodic evaluations.
#pragma once

#include "precis/text/tokenizer.h"
#include "precis/train/trainer.h"

namespace precis {

// Trains config.compressor around `decoder` in config.run.dir. Throws Error before any work if a setting is missing.
TrainResult train_run(const Config& config, const CompressorRegistry& registry, std::shared_ptr<const Decoder> decoder,
                      const Tokenizer& tokenizer, const ProcessGroup& group = ProcessGroup());

}  // namespace precis

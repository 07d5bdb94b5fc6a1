// A whole training as its configuration describes it: data, compressor, stages, evaluations in between.
#pragma once

#include "precis/text/tokenizer.h"
#include "precis/train/trainer.h"

namespace precis {

// Trains config.compressor around `decoder` in config.run.dir. Error before any work where something is not set.
TrainResult train_run(const Config& config, const CompressorRegistry& registry, std::shared_ptr<const Decoder> decoder,
                      const Tokenizer& tokenizer, const ProcessGroup& group = ProcessGroup());

}  // namespace precis

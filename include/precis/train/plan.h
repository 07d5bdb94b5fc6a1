// What a training would be, without training and, where model.shape is given, without the model's weights.
#pragma once

#include "precis/compress/compressor.h"
#include "precis/core/json.h"

namespace precis {

// Parameters, memory entries, steps and tokens of config's training. The decoder's shape comes from model.path, or from
// model.shape where nothing is at that path. Error if neither is there, or if the compressor does not fit the decoder.
Json training_plan(const Config& config, const CompressorRegistry& registry);

// Seconds of its training at `peak` operations per second (matrix_peak), as in the plan; makes no compressor.
double planned_seconds(const Config& config, double peak);

}  // namespace precis

// The plan of a training run, without training and, with model.shape, without the model's weights.
#pragma once

#include "precis/compress/compressor.h"
#include "precis/core/json.h"

namespace precis {

// Parameters, memory entries, steps and tokens of config's training run. The decoder's shape comes from model.path, or
// from model.shape if that path does not exist. Throws Error if neither exists, or if the compressor does not fit the
// decoder.
Json training_plan(const Config& config, const CompressorRegistry& registry);

// The plan's training seconds at `peak` operations per second (matrix_peak), without creating a compressor.
double planned_seconds(const Config& config, double peak);

}  // namespace precis

// How near training is to what the machine can do. A token that goes through the decoder costs 2 P multiply-adds' worth
// of operations forward and, since frozen weights take no gradient, 2 P backward, P being the parameters of its
// linears; so a step over T context and task tokens costs 4 P T. Adapters, attention and memory rows are not counted.
#pragma once

#include "precis/model/decoder.h"

namespace precis {

// 4 P: operations of one token of a training step.
double training_operations_per_token(const DecoderConfig& config);

// Operations per second of a large matrix product in this dtype on this device, the best of a few.
double matrix_peak(at::ScalarType dtype, at::Device device);

}  // namespace precis

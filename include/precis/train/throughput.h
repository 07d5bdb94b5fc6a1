// How near training is to what the machine can do. A token that goes through the decoder costs 2 P multiply-adds' worth
// of operations forward and, since frozen weights take no gradient, 2 P backward, P being the parameters of its
// linears; so a step over T context and task tokens costs 4 P T. Adapters, attention and memory rows are not counted.
#pragma once

#include "precis/model/decoder.h"

namespace precis {

// 4 P: operations of one token of a training step.
double training_operations_per_token(const DecoderConfig& config);

// Bytes that a training step keeps for its backward pass, and those it needs besides, for passes of so many rows
// (padding included). Counted are the tensors of the layers as this library keeps them, not the allocator's holes; see
// docs/architecture.md for how near that comes.
struct PassRows {
  int64_t encoder = 0, decoder = 0;  // over all contexts of a micro-batch
  int64_t supervised = 0;            // rows with a loss
  bool encoder_takes_gradient = true, recompute = false;
};
double activation_bytes(const DecoderConfig& config, int64_t bytes_per_value, const PassRows& rows);

// Operations per second of a large matrix product in this dtype on this device, the best of a few.
double matrix_peak(at::ScalarType dtype, at::Device device);

// Bytes per second that this processor reads in order, by the fastest product of one row here; of a GPU, those read and
// written by a copy. The best of a few.
double memory_bandwidth(at::Device device);

}  // namespace precis

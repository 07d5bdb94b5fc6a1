// Training throughput against the machine's peak. A token through the decoder costs 2 P operations forward and, since
// frozen weights take no gradient, 2 P backward, with P the parameters of its linears. A step over T context and task
// tokens costs 4 P T. Adapters, attention and memory rows are not counted.
#pragma once

#include "precis/model/decoder.h"

namespace precis {

// 4 P: operations per token of a training step.
double training_operations_per_token(const DecoderConfig& config);

// Bytes that a training step keeps for its backward pass, plus its temporaries, for passes of `rows` rows (including
// padding). Counts the layers' tensors as this library keeps them, not allocator fragmentation; docs/plan-a-training.md
// compares the estimate with measurements.
struct PassRows {
  int64_t encoder = 0, decoder = 0;  // over all contexts of a micro-batch
  int64_t supervised = 0;            // rows with a loss
  bool encoder_takes_gradient = true, recompute = false;
};
double activation_bytes(const DecoderConfig& config, int64_t bytes_per_value, const PassRows& rows);

// Operations per second of a large matrix product in this dtype on this device, the best of several runs.
double matrix_peak(at::ScalarType dtype, at::Device device);

// Memory bandwidth in bytes per second, the best of several runs. CPU: sequential reads in our one-row product; GPU:
// bytes read and written by a copy.
double memory_bandwidth(at::Device device);

}  // namespace precis

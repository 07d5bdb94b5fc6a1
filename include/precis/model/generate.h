// Text generation with the frozen decoder: greedy or sampled, batches of unequal prompts, a preallocated cache.
#pragma once

#include <functional>

#include "precis/model/decoder.h"

namespace precis {

struct GenerateOptions {
  int64_t max_new_tokens = 64;
  double temperature = 0;  // 0: greedy
  int64_t top_k = 0;       // 0: no limit
  double top_p = 1;
  std::vector<int64_t> end_ids;  // a context stops before any of these
  uint64_t seed = 1;             // random seed for sampling
  int64_t vocabulary = 0;        // only ids below this number are chosen (the tokenizer's); 0: all
  bool by_rows = true;  // new tokens by RowDecoder, on a GPU by a DeviceGraph, if possible; false: by Decoder::hidden
};

struct GenerateSeconds {
  double prefill = 0;  // reading the input
  double decode = 0;   // everything after that
};

// Called with each new token of context `row`; returns false to end that context (e.g. at a stop text).
using OnToken = std::function<bool(int64_t row, int64_t id)>;

// New tokens of each context of the input (labels are ignored). Runs without gradients.
std::vector<std::vector<int64_t>> generate(const Decoder& decoder, const DecoderInput& input,
                                           const GenerateOptions& options, const OnToken& on_token = {},
                                           GenerateSeconds* seconds = nullptr);

}  // namespace precis

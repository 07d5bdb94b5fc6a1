// How a memory row's attention is divided between its own chunk, other text, the prefix, itself and other memory. Shows
// whether a method attends to its own chunk, before and after training.
#pragma once

#include "precis/compress/compressor.h"
#include "precis/core/json.h"

namespace precis {

// Per layer, averaged over heads and memory rows, in percent (sum 100): "own_chunk", "other_text", "prefix", "itself",
// "other_memory"; and "rows", [M, S], each memory row's attention averaged over heads. Throws Error if the method has
// no memory rows.
Json attention_shares(const Compressor& compressor, const TokenBatch& context);

}  // namespace precis

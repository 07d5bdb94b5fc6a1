// How a memory row's attention is divided between its chunk, other text, the prefix, itself and other memory: shows
// which method can find its own tokens, before and after training.
#pragma once

#include "precis/compress/compressor.h"
#include "precis/core/json.h"

namespace precis {

// Of each layer, averaged over heads and memory rows, in percent that add up to 100: "own_chunk", "other_text",
// "prefix", "itself", "other_memory"; and "rows", [M, S], each memory row's attention averaged over heads. Error if the
// method has no memory rows.
Json attention_shares(const Compressor& compressor, const TokenBatch& context);

}  // namespace precis

// Memories as building blocks: append the next part of a text, put memories of several documents one after the other,
// take them apart again, batch them. Keys are rotated on to the positions of their new place, so that the decoder reads
// a memory as if its text stood there (RoPE depends on differences of positions only).
#pragma once

#include "precis/compress/compressor.h"

namespace precis {

// The memory of each context's text so far with that of its next part, whose segments are compressed as if they stood
// behind it (keys and values at their own positions, rows renumbered). Equals compressing the whole text for every
// method here where the text so far ends at a segment border, since segments never see each other; elsewhere the next
// part begins a new segment, where the whole text would have filled the last one. `segments_at_once` as in
// compress_in_parts; 0: all.
Memory append(Compressor& compressor, const Memory& memory, const TokenBatch& next, int64_t segments_at_once = 0);

// compressor.compress of contexts of any length in bounded memory: contexts longer than `segments_at_once` segments are
// compressed one by one in parts of so many, equal to all at once since segments never see each other. Only the memory
// itself grows.
Memory compress_in_parts(Compressor& compressor, const TokenBatch& contexts, int64_t segments_at_once);

// Document after document, each context's in the order given: later ones are moved behind the source tokens of those
// before. Every document was compressed by itself and sees no other. Error if they differ in method, ratio, base model,
// tokenizer, carrier or placement.
Memory concatenate(const std::vector<Memory>& documents, const Decoder& decoder);

// The documents of one context's memory, each as if it stood alone: the inverse of concatenate. Concatenating them
// without one equals never having had it.
std::vector<Memory> split_documents(const Memory& memory, const Decoder& decoder);

// The contexts of all memories as one batch, in order; prompts choose among them by TaskTokens::memory_index.
Memory stack(const std::vector<Memory>& memories);

// Context b alone, without padding.
Memory select_context(const Memory& memory, int64_t b);

// Content in another dtype.
Memory with_dtype(const Memory& memory, at::ScalarType dtype);

}  // namespace precis

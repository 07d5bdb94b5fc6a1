// Operations on memories: append the next part of a text, concatenate several documents, split them again, batch. Keys
// are rotated to their new positions, so the decoder reads a memory as if its text were there (RoPE depends only on
// position differences).
#pragma once

#include "precis/memory/memory.h"
#include "precis/model/decoder.h"

namespace precis {

// Joins the parts of one text, in order, to the memory of the whole: entries, segments and source tokens. Positions
// that do not count from the front are already final. Throws Error as concatenate does.
Memory join_parts(std::vector<Memory> parts);

// Concatenates documents per context, in the order given: later ones are shifted by the source tokens of earlier ones.
// Every document was compressed separately and sees no other. Throws Error if method, ratio, base model, tokenizer,
// carrier or placement differ.
Memory concatenate(const std::vector<Memory>& documents, const Decoder& decoder);

// The documents of one context's memory, each as a separate memory: the inverse of concatenate. Concatenating them
// again without one of them removes that document without a trace.
std::vector<Memory> split_documents(const Memory& memory, const Decoder& decoder);

// The contexts of all memories as one batch, in order; prompts select them by TaskTokens::memory_index.
Memory stack(const std::vector<Memory>& memories);

// Context b alone, without padding.
Memory select_context(const Memory& memory, int64_t b);

// The memory with its content in another dtype, and on another device if given.
Memory with_dtype(const Memory& memory, at::ScalarType dtype, std::optional<at::Device> device = std::nullopt);
at::ScalarType dtype_of(const Memory& memory);

}  // namespace precis

// Checks whether a memory was made by a given compressor.
#pragma once

#include "precis/compress/compressor.h"
#include "precis/memory/memory_file.h"

namespace precis {

// Hash of everything that determines a text's memory: settings and trained tensors.
std::string compressor_hash(const Compressor& compressor);

// Throws Error naming both sides unless `compressor` made this memory (base model, tokenizer, method, its version,
// ratio, trained tensors), or if the memory is longer than the decoder's positions. `hash`:
// compressor_hash(compressor).
void require_made_by(const MemoryFile& file, const Compressor& compressor, const std::string& hash,
                     const std::string& where);

}  // namespace precis

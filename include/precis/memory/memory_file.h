// A compressed context on disk: one safetensors file whose metadata says what made it and who may read it
// (docs/architecture.md, Files). Round trips are exact to the bit; a truncated or altered file is refused.
#pragma once

#include <filesystem>

#include "precis/compress/compressor.h"

namespace precis {

struct MemoryFile {
  Memory memory;                // of one context
  std::string source_hash;      // of the token ids that were compressed, see source_hash()
  std::string compressor_hash;  // of the trained tensors and settings that made it, see compressor_hash()
};

// Writes atomically, in the dtype that the content has.
void save_memory(const std::filesystem::path& path, const MemoryFile& file);

// Error if the file is truncated, altered, of another format version, or no memory file.
MemoryFile load_memory(const std::filesystem::path& path);

// Error naming both sides unless `compressor` made this memory: base model, tokenizer, method, its version, ratio,
// trained tensors; and if the memory is longer than the decoder's positions. `hash`: compressor_hash(compressor).
void require_made_by(const MemoryFile& file, const Compressor& compressor, const std::string& hash,
                     const std::string& where);

// Of a text's token ids; `before`: the hash of the part it is appended to.
std::string source_hash(const Tensor& ids /* int64 [L] */, const std::string& before = "");

// Of everything that decides which memory a text gets: settings and trained tensors.
std::string compressor_hash(const Compressor& compressor);

// Root mean square of the difference between two memories' content, as a share of the first one's.
double relative_error(const Memory& exact, const Memory& stored);

}  // namespace precis

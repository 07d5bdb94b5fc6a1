// A compressed context on disk: one safetensors file whose metadata records its origin (docs/formats.md). Round trips
// are bit-exact; truncated or altered files are refused.
#pragma once

#include <filesystem>

#include "precis/memory/memory.h"
#include "precis/weights/safetensors.h"

namespace precis {

struct MemoryFile {
  Memory memory;                // of one context
  std::string source_hash;      // hash of the compressed token ids, see source_hash()
  std::string compressor_hash;  // hash of its compressor, see compress/made_by.h
};

// Writes atomically, in the content's dtype.
void save_memory(const std::filesystem::path& path, const MemoryFile& file);

// Throws Error if the file is truncated, altered, of another format version, or not a memory file.
MemoryFile load_memory(const std::filesystem::path& path);

// The checksum in a file's metadata: of the other metadata, and every tensor's name, dtype, shape and bytes.
std::string memory_checksum(const Metadata& metadata, const TensorMap& tensors);

// Hash of a text's token ids; `before`: the hash of the part it is appended to.
std::string source_hash(const Tensor& ids /* int64 [L] */, const std::string& before = "");

// Root mean square of the difference between two memories' content, relative to the first's.
double relative_error(const Memory& exact, const Memory& stored);

}  // namespace precis

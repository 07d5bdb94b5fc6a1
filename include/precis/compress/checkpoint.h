// A trained compressor on disk: compressor.json (its configuration, base model and tokenizer), compressor.safetensors
// (its trained tensors) and, if it has adapters, a copy of these in PEFT's format. Reading is strict.
#pragma once

#include <filesystem>

#include "precis/compress/compressor.h"
#include "precis/text/tokenizer.h"

namespace precis {

// The trained tensors by name, as views.
TensorMap trained_tensors(const Compressor& compressor);

// Copies `given` into the tensors of the same names. Throws Error that lists every missing, extra or mis-shaped tensor.
// `owner`, for the message, owns `own`; `where`: the file of `given`.
void copy_tensors(const TensorMap& own, const TensorMap& given, const std::string& owner, const std::string& where);

// Copies `tensors` into the compressor. Errors as in copy_tensors; `where`: their file.
void load_trained_tensors(Compressor& compressor, const TensorMap& tensors, const std::string& where);

// Write compressor.json alone, or all files; the folder must exist.
void write_compressor_json(const std::filesystem::path& folder, const Compressor& compressor);
void save_compressor(const std::filesystem::path& folder, const Compressor& compressor);

// Writes the adapters alone, in PEFT's format, to an existing folder. Throws Error if the compressor has none.
void save_peft_adapter(const std::filesystem::path& folder, const Compressor& compressor);

// Throws Error naming both sides unless the compressor in `folder` (with compressor.json) was trained around this base
// model and tokenizer.
void require_trained_around(const std::filesystem::path& folder, const std::string& base_fingerprint,
                            const std::string& tokenizer_hash);

// `path`: a finished run folder or an exported compressor. Throws Error naming both sides if it was trained with
// another base model or tokenizer.
std::shared_ptr<Compressor> load_compressor(const std::filesystem::path& path, const CompressorRegistry& registry,
                                            std::shared_ptr<const Decoder> decoder, const Tokenizer& tokenizer);

// What a compressor needs besides its configuration. `tokenizer` outlives the compressor.
Compressor::Surroundings surroundings_of(std::shared_ptr<const Decoder> decoder, const Tokenizer& tokenizer,
                                         uint64_t seed);

}  // namespace precis

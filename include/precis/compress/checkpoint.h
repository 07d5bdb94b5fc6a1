// A trained compressor on disk: compressor.json (its configuration and what it belongs to), compressor.safetensors (its
// trained tensors) and, where it has adapters, the same as a PEFT adapter. Reading is strict.
#pragma once

#include <filesystem>

#include "precis/compress/compressor.h"
#include "precis/text/tokenizer.h"

namespace precis {

// The trained tensors by name, as views.
TensorMap trained_tensors(const Compressor& compressor);

// Copies `given` into the tensors of the same names; Error that lists every missing, extra or mis-shaped one.
// `owner`: for the message; `where`: their file.
void copy_tensors(const TensorMap& own, const TensorMap& given, const std::string& owner, const std::string& where);

// Copies `tensors` into the compressor; Error that lists every missing, extra or mis-shaped one. `where`: their file.
void load_trained_tensors(Compressor& compressor, const TensorMap& tensors, const std::string& where);

// compressor.json alone, and all of the folder's files; the folder must exist.
void write_compressor_json(const std::filesystem::path& folder, const Compressor& compressor);
void save_compressor(const std::filesystem::path& folder, const Compressor& compressor);

// The adapters alone, in PEFT's format, into an existing folder. Error if the compressor has none.
void save_peft_adapter(const std::filesystem::path& folder, const Compressor& compressor);

// `path`: a run folder (its final export, else its newest checkpoint's tensors) or an exported folder. Error naming
// both sides if it was trained around another base model or tokenizer.
std::shared_ptr<Compressor> load_compressor(const std::filesystem::path& path, const CompressorRegistry& registry,
                                            std::shared_ptr<const Decoder> decoder, const Tokenizer& tokenizer);

// What a compressor needs to know of its surroundings.
Compressor::Surroundings surroundings_of(std::shared_ptr<const Decoder> decoder, const Tokenizer& tokenizer,
                                         uint64_t seed);

}  // namespace precis

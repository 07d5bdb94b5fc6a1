// Memory files made elsewhere, as a report row: the contexts of an evaluation are looked up instead of compressed.
#pragma once

#include <map>

#include "precis/compress/compressor.h"

namespace precis {

// Finds the memory of a context by the hash of its token ids (source_hash). Questions are read as `prompt.h` has it:
// rows behind BOS, if they were numbered behind one; keys and values before [BOS] and the question, with BOS as
// config.decoder_bos says.
class StoredMemories : public Compressor {
 public:
  // `config`: decoder_bos of it is used. Reads the heads of all memory files (*.safetensors) in the folder. Throws
  // Error if there are none, if they differ in method, ratio or carrier, if their base model or tokenizer is another
  // one, or if the prompt needs trained rows that are not in the files (markers).
  StoredMemories(const std::filesystem::path& folder, const CompressorConfig& config, const Surroundings& surroundings);

  // Throws Error if a context has no memory in the folder.
  Memory compress(const TokenBatch& context) override;
  DecoderInput prompt(const Memory& memory, const TaskTokens& task) const override;

 private:
  std::filesystem::path folder_;
  std::map<std::string, std::filesystem::path> files_;  // by source_hash
  bool bos_ = false;
};

}  // namespace precis

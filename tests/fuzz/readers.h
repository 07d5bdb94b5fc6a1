// The readers of files that come from others, each as a function of bytes. Only Error may leave one; any other
// exception, a crash, a hang or more than 1 GB of memory is a bug. libFuzzer and the replay test call the same table.
#pragma once

#include "precis/compress/compressor.h"
#include "precis/text/tokenizer.h"

namespace precis::fuzz {

struct Reader {
  std::string name;                // also the folder of its seeds
  std::vector<std::string> files;  // the input's parts, in order, are written under these names
  std::function<void(const std::filesystem::path& folder)> read;
};

const std::vector<Reader>& readers();

// Between the parts of an input of several files.
inline const std::string separator = "\n#####\n";

// Writes the input to files in memory and reads them. Returns the message of the Error, the right answer to a bad file;
// "" if there was none.
std::string run(const Reader& reader, std::string_view input);

// What readers need around a file: the golden cases' tiny decoder, a tokenizer of a few tokens, and compressors to
// embedding and to key/value memories.
const CompressorRegistry& registry();
std::shared_ptr<const Decoder> decoder();
const Tokenizer& tokenizer();
const std::vector<std::shared_ptr<Compressor>>& compressors();

// Writes the seeds that hold hashes of these: memories, checkpoints, a prepared corpus.
void write_seeds(const std::filesystem::path& folder);

}  // namespace precis::fuzz

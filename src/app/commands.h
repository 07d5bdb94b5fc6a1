// One function per command; each reads its part of the configuration and prints its result.
#pragma once

#include <string>
#include <vector>

#include "precis/compress/compressor.h"

namespace precis {

void run_train(const Config& config, const CompressorRegistry& registry, bool json);
void run_eval(const Config& config, const CompressorRegistry& registry, bool json);
void run_score(const std::string& dataset, const std::string& predictions);
void run_tokenize(const std::string& tokenizer, bool decode, bool special);
void run_inspect(const std::string& path, bool json);

// The decoder and tokenizer of a configuration, with threads and determinism set up.
struct Workspace {
  std::shared_ptr<const Decoder> decoder;
  std::unique_ptr<class Tokenizer> tokenizer;
};
Workspace open_workspace(const Config& config);

}  // namespace precis

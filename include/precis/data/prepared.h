// A corpus as token ids on disk: memory-mapped shards, and a manifest that records their sources.
#pragma once

#include <filesystem>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "precis/core/json.h"
#include "precis/text/tokenizer.h"
#include "precis/weights/safetensors.h"

namespace precis {

struct PrepareOptions {
  std::vector<std::string> sources;  // as for corpus_files
  std::string field = "text";        // key of the text in jsonl lines
  std::string separator = "auto";    // bos before each document, eos after it, or none; auto: bos if the tokenizer
                                     // adds it, else eos if it has one
  int64_t shard_tokens = 1 << 22;    // a shard ends with the first batch of text that reaches this
  int64_t jobs = 0;                  // tokenising threads; 0: one per core. The shards do not depend on it.
};

// Tokenises the sources in order into folder/shard-00000.safetensors ... (int32 `tokens`) and folder/manifest.json,
// which is updated after every shard. An interrupted call resumes after the last shard, with a bit-identical result.
// Throws Error if the folder holds another corpus (other sources, content, tokenizer or options). Returns the manifest.
Json prepare_corpus(const PrepareOptions& options, const Tokenizer& tokenizer, const std::filesystem::path& folder);

bool is_prepared_corpus(const std::filesystem::path& folder);

class PreparedCorpus {
 public:
  // Reads the manifest and checks that every shard is complete. Throws Error if the corpus is not finished or was
  // prepared with another tokenizer.
  PreparedCorpus(const std::filesystem::path& folder, const Tokenizer& tokenizer);

  int64_t tokens() const { return first_token_.back(); }
  const std::string& hash() const { return hash_; }  // of all shards

  // Tokens [begin, begin + count). Checks a shard against its hash on first use; throws Error if it differs.
  TokenIds read(int64_t begin, int64_t count) const;

 private:
  struct Shard {
    std::string file, hash;
    int64_t tokens;
  };
  const Tensor& shard(size_t index) const;

  std::filesystem::path folder_;
  std::vector<Shard> shards_;
  std::vector<int64_t> first_token_;  // per shard, then their total
  std::string hash_;
  mutable std::mutex mutex_;
  mutable std::vector<Tensor> mapped_;
};

}  // namespace precis

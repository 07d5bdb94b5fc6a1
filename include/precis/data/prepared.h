// A corpus as token ids on disk: shards that are mapped, not read, and a manifest that says where they come from.
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
  std::string field = "text";        // of jsonl lines
  std::string separator = "auto";    // bos before each document, eos behind it, or none; auto: bos where the
                                     // tokenizer adds it, else eos where it has one
  int64_t shard_tokens = 1 << 22;    // a shard ends with the first batch of text that reaches this
  int64_t jobs = 0;                  // tokenising threads; 0: one per core. The shards do not depend on it.
};

// Tokenises the sources in order into folder/shard-00000.safetensors ... (int32 `tokens`) and folder/manifest.json,
// which is written again after every shard: stopped at any moment and run again, it goes on behind the last shard, and
// the end is the same to the bit. Error if the folder holds another corpus (other sources or content, tokenizer or
// options). Returns the manifest.
Json prepare_corpus(const PrepareOptions& options, const Tokenizer& tokenizer, const std::filesystem::path& folder);

bool is_prepared_corpus(const std::filesystem::path& folder);

class PreparedCorpus {
 public:
  // Reads the manifest and checks that every shard is there in full. Error if it is not finished, or was made by
  // another tokenizer.
  PreparedCorpus(const std::filesystem::path& folder, const Tokenizer& tokenizer);

  int64_t tokens() const { return first_token_.back(); }
  const std::string& hash() const { return hash_; }  // of all shards

  // Tokens [begin, begin + count). A shard is checked against its hash when it is first touched; Error if it differs.
  TokenIds read(int64_t begin, int64_t count) const;

 private:
  struct Shard {
    std::string file, hash;
    int64_t tokens;
  };
  const Tensor& shard(size_t index) const;

  std::filesystem::path folder_;
  std::vector<Shard> shards_;
  std::vector<int64_t> first_token_;  // of each shard, and their sum
  std::string hash_;
  mutable std::mutex mutex_;
  mutable std::vector<Tensor> mapped_;
};

}  // namespace precis

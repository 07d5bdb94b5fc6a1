#include "precis/eval/stored_memories.h"

#include <torch/types.h>

#include <algorithm>

#include "precis/compress/prompt.h"
#include "precis/core/error.h"
#include "precis/core/strings.h"
#include "precis/memory/memory_blocks.h"
#include "precis/memory/memory_file.h"

namespace precis {
namespace fs = std::filesystem;
namespace {

struct Head {
  MemoryOrigin origin;
  MemoryPlacement placement;
  bool kv = false;
  std::string source_hash;
};

Head head_of(const fs::path& path) {
  const MemoryFile file = load_memory(path);
  return {file.memory.origin, file.memory.placement, std::holds_alternative<KvMemory>(file.memory.content),
          file.source_hash};
}

std::vector<fs::path> memory_files(const fs::path& folder) {
  if (!fs::is_directory(folder)) throw Error({.what = "no such folder", .where = folder.string()});
  std::vector<fs::path> files;
  for (const auto& entry : fs::directory_iterator(folder)) {
    if (entry.path().extension() == ".safetensors") files.push_back(entry.path());
  }
  std::sort(files.begin(), files.end());
  if (files.empty()) throw Error({.what = "no memory files (*.safetensors)", .where = folder.string()});
  return files;
}

// A configuration under the name of what made the memories; segments without end, since texts are looked up whole.
CompressorConfig config_for(const fs::path& folder, CompressorConfig config) {
  const Head first = head_of(memory_files(folder).front());
  config.method = first.origin.method;
  config.ratio = std::max<int64_t>(1, first.origin.ratio);
  config.segment_length = int64_t{1} << 40;
  config.lora.rank = 0;
  return config;
}

void require_same(const char* what, const std::string& where, const auto& ours, const auto& theirs) {
  if (ours == theirs) return;
  throw Error({.what = cat("the memory was made with another ", what),
               .where = where,
               .expected = cat(ours),
               .found = cat(theirs)});
}

}  // namespace

StoredMemories::StoredMemories(const fs::path& folder, const CompressorConfig& config, const Surroundings& surroundings)
    : Compressor(config_for(folder, config), surroundings), folder_(folder) {
  std::optional<Head> first;
  for (const auto& path : memory_files(folder)) {
    const Head head = head_of(path);
    if (!first) first = head;
    const std::string where = path.string();
    require_same("method", where, first->origin.method, head.origin.method);
    require_same("ratio", where, first->origin.ratio, head.origin.ratio);
    require_same("carrier", where, first->kv ? "keys and values" : "rows", head.kv ? "keys and values" : "rows");
    require_same("base model", where, decoder().fingerprint(), head.origin.base_fingerprint);
    require_same("tokenizer", where, tokenizer_hash(), head.origin.tokenizer_hash);
    if (head.placement.markers)
      throw Error({.what = "the prompt of this memory has marker rows, which its file does not hold",
                   .where = where,
                   .hint = "evaluate its compressor by eval.compressors"});
    files_[head.source_hash] = path;
  }
  bos_ = first->kv ? use_bos(config.decoder_bos, "decoder_bos") : first->placement.before > 0;
}

Memory StoredMemories::compress(const TokenBatch& context) {
  std::vector<Memory> memories;
  for (int64_t b = 0; b < context.ids.size(0); ++b) {
    const int64_t length = context.lengths[b].item<int64_t>();
    const auto found = files_.find(source_hash(context.ids[b].narrow(0, 0, length)));
    if (found == files_.end())
      throw Error({.what = cat("no memory of a context of ", length, " tokens"),
                   .where = folder_.string(),
                   .expected = cat("its token ids' hash among those of ", files_.size(), " files"),
                   .hint = "the ids are those of data.context_template with the context in it; see docs/memories.md"});
    memories.push_back(with_dtype(load_memory(found->second).memory, decoder().dtype(), decoder().device()));
  }
  return stack(memories);
}

DecoderInput StoredMemories::prompt(const Memory& memory, const TaskTokens& task) const {
  const int64_t bos = surroundings().bos_id;
  if (std::holds_alternative<KvMemory>(memory.content)) return kv_prompt(decoder(), bos_ ? bos : -1, memory, task);
  const bool sequential = memory.placement.next == MemoryPlacement::Next::rows;
  return embedding_prompt(decoder(), bos, {bos_, sequential, {}}, memory, task);
}

}  // namespace precis

// What the readers need around a file, and the seeds that depend on it.
#include <torch/types.h>

#include "precis/compress/checkpoint.h"
#include "precis/compress/made_by.h"
#include "precis/config/schema.h"
#include "precis/core/strings.h"
#include "precis/data/prepared.h"
#include "precis/memory/memory_blocks.h"
#include "precis/train/run_folder.h"
#include "readers.h"

namespace precis::fuzz {
namespace fs = std::filesystem;

const CompressorRegistry& registry() {
  static const CompressorRegistry built_in = CompressorRegistry::built_in();
  return built_in;
}

std::shared_ptr<const Decoder> decoder() {
  static const auto tiny = load_decoder(fs::path(PRECIS_SOURCE_DIR) / "tests/golden/tiny_decoder", "float32");
  return tiny;
}

const Tokenizer& tokenizer() {
  static const auto tiny = load_tokenizer(fs::path(PRECIS_SOURCE_DIR) / "tests/fuzz/seeds/tokenizer_json/tiny.json");
  return *tiny;
}

const std::vector<std::shared_ptr<Compressor>>& compressors() {
  static const auto made = [] {
    std::vector<std::shared_ptr<Compressor>> out;
    for (const char* method : {"mean-pool", "sac"}) {
      const Config config =
          resolve_config(config_layers("", {cat("compressor.method=", method), "compressor.form=published",
                                            "compressor.lora.rank=1", "compressor.lora.targets=q_proj",
                                            "compressor.segment_length=16", "compressor.projector=none"}),
                         registry().methods());
      out.push_back(registry().make(config.compressor, surroundings_of(decoder(), tokenizer(), 1)));
      out.back()->eval();
    }
    return out;
  }();
  return made;
}

namespace {

void write_seed(const fs::path& folder, const std::string& reader, const std::string& name,
                const std::vector<fs::path>& parts) {
  std::string bytes;
  for (const auto& part : parts) bytes += (bytes.empty() ? "" : separator) + read_file(part);
  make_folder(folder / reader);
  write_file_atomically(folder / reader / name, bytes);
}

}  // namespace

void write_seeds(const fs::path& folder) {
  const fs::path work = folder / "work", file = work / "t.safetensors";
  make_folder(work);
  const at::NoGradGuard no_gradient;
  for (const auto& compressor : compressors()) {
    const std::string method = compressor->config().method;
    const Memory memory = compressor->compress(token_batch({{1, 2, 3, 4, 5, 6}}));
    save_memory(file, {memory, "source", compressor_hash(*compressor)});
    write_seed(folder, "memory", method, {file});
    save_memory(file, {concatenate({memory, memory}, *decoder()), "source", compressor_hash(*compressor)});
    write_seed(folder, "memory", method + "-two-documents", {file});
    save_compressor(work, *compressor);
    write_json(work / "state.json", to_json(RunState{.step = 3, .data_hash = "h"}));
    write_seed(folder, "checkpoint", method,
               {work / "compressor.json", work / "compressor.safetensors", work / "state.json"});
  }
  write_file_atomically(work / "text.txt", "ab abc ab\n");
  prepare_corpus({.sources = {(work / "text.txt").string()}, .jobs = 1}, tokenizer(), work / "corpus");
  write_seed(folder, "prepared", "one", {work / "corpus/manifest.json", work / "corpus/shard-00000.safetensors"});
  fs::remove_all(work);
}

}  // namespace precis::fuzz

#include "readers.h"

#include <torch/types.h>
#include <unistd.h>

#include <cstdio>
#include <optional>

#include "precis/compress/checkpoint.h"
#include "precis/compress/made_by.h"
#include "precis/config/schema.h"
#include "precis/core/error.h"
#include "precis/core/log.h"
#include "precis/core/strings.h"
#include "precis/data/corpus.h"
#include "precis/data/prepared.h"
#include "precis/data/qa.h"
#include "precis/memory/memory_blocks.h"
#include "precis/train/run_folder.h"
#include "precis/weights/dequantize.h"

namespace precis::fuzz {
namespace fs = std::filesystem;
namespace {

// For steps that do not depend on each other: an Error in one does not keep the fuzzer from the next.
void attempt(const std::function<void()>& step) {
  try {
    step();
  } catch (const Error&) {
  }
}

// All steps, then the first Error, so that a seed is known to be good in each.
void in_turn(const std::vector<std::function<void()>>& steps) {
  std::optional<Error> first;
  for (const auto& step : steps) {
    try {
      step();
    } catch (const Error& e) {
      if (!first) first = e;
    }
  }
  if (first) throw *first;
}

void use_tokenizer(const fs::path& path) {
  const auto tokenizer = load_tokenizer(path);
  for (const char* text : {"Hello world", "it's 12 o'clock\n\n  \xC3\xA9\xE2\x82\xAC", "aaaaaaaaaaaaaaaaaaaaaaaaaaaab"})
    attempt([&] { tokenizer->decode(tokenizer->encode(text, true)); });
}

void read_safetensors(const fs::path& path) {
  const SafetensorsFile file(path);
  for (const auto& [name, tensor] : file.tensors()) all_finite(tensor);
}

void read_gguf(const fs::path& path) {
  const GgufFile file(path);
  for (const auto& tensor : file.tensors()) attempt([&] { dequantize(file, tensor.first); });
  in_turn({[&] { use_tokenizer(path); }, [&] { decoder_config_from_gguf(file).parameters(); },
           [&] { load_decoder(path, "float32"); }});
}

void read_configuration(const fs::path& path) { to_json_absolute(read_config(path, registry().methods())); }

void read_decoder_config(const fs::path& path) {
  decoder_config_from_hugging_face(read_json(path), path.string()).parameters();
}

void read_corpus(const fs::path& path) {
  CorpusReader reader({path}, "text", 64);
  while (reader.next()) {
  }
}

// What reading a memory leads to: a prompt around it, and a pass.
void use_memory(const MemoryFile& file) {
  for (const auto& compressor : compressors()) {
    attempt([&] {
      require_made_by(file, *compressor, file.compressor_hash, "memory");
      const Tensor ids = torch::full({1, 2}, 3, torch::kLong), lengths = torch::full({1}, 2, torch::kLong);
      const TaskTokens task{Task::qa, ids, lengths, {}, torch::zeros({1}, torch::kLong)};
      compressor->decoder().hidden(compressor->prompt(file.memory, task));
      const auto documents = split_documents(file.memory, compressor->decoder());
      concatenate({documents.back(), file.memory}, compressor->decoder());
    });
  }
}

// Mutations break the checksum, which would hide the rest of the reader: it is read once more with the right one.
void read_memory(const fs::path& path) {
  attempt([&] { use_memory(load_memory(path)); });
  const SafetensorsFile file(path);
  Metadata metadata = file.metadata();
  const TensorMap tensors = file.tensors();
  metadata["checksum"] = memory_checksum(metadata, tensors);
  write_safetensors(path.string() + ".repaired", tensors, metadata);
  use_memory(load_memory(path.string() + ".repaired"));
}

void read_checkpoint(const fs::path& folder) {
  attempt([&] { run_state_from_json(read_json(folder / "state.json"), "state.json"); });
  load_compressor(folder, registry(), decoder(), tokenizer());
}

void read_prepared(const fs::path& folder) {
  const PreparedCorpus corpus(folder, tokenizer());
  corpus.read(0, std::min<int64_t>(corpus.tokens(), 100));
  corpus.read(corpus.tokens() - 1, 1);
}

// A folder in memory, removed at the end of the process.
const fs::path& scratch() {
  struct Scratch {
    fs::path path = fs::path(fs::is_directory("/dev/shm") ? "/dev/shm" : "/tmp") / cat("precis-fuzz-", ::getpid());
    Scratch() { fs::create_directories(path); }
    ~Scratch() { fs::remove_all(path); }
  };
  static const Scratch folder;
  return folder.path;
}

}  // namespace

const std::vector<Reader>& readers() {
  const auto file = [](void (*read)(const fs::path&), const std::string& name) {
    return [read, name](const fs::path& folder) { read(folder / name); };
  };
  static const std::vector<Reader> all = {
      {"safetensors", {"t.safetensors"}, file(read_safetensors, "t.safetensors")},
      {"gguf", {"m.gguf"}, file(read_gguf, "m.gguf")},
      {"tokenizer_json", {"tokenizer.json", "tokenizer_config.json", "generation_config.json"}, use_tokenizer},
      {"vocab_merges", {"vocab.json", "merges.txt", "tokenizer_config.json"}, use_tokenizer},
      {"sentencepiece", {"tokenizer.model"}, use_tokenizer},
      {"config", {"config.json"}, file(read_configuration, "config.json")},
      {"decoder_config", {"config.json"}, file(read_decoder_config, "config.json")},
      {"model", {"config.json", "model.safetensors"}, [](const fs::path& folder) { load_decoder(folder, "float32"); }},
      {"squad", {"d.json"}, [](const fs::path& folder) { read_qa(folder / "d.json"); }},
      {"mrqa", {"d.jsonl"}, [](const fs::path& folder) { read_qa(folder / "d.jsonl"); }},
      {"table", {"d.csv"}, [](const fs::path& folder) { read_qa(folder / "d.csv"); }},
      {"corpus", {"c.jsonl"}, file(read_corpus, "c.jsonl")},
      {"archive", {"c.tar"}, file(read_corpus, "c.tar")},
      {"memory", {"m.safetensors"}, file(read_memory, "m.safetensors")},
      {"checkpoint", {"compressor.json", "compressor.safetensors", "state.json"}, read_checkpoint},
      {"prepared", {"manifest.json", "shard-00000.safetensors"}, read_prepared}};
  return all;
}

std::string run(const Reader& reader, std::string_view input) {
  log::set_level(log::Level::off);
  const fs::path folder = scratch() / reader.name;
  if (!fs::exists(folder)) fs::create_directories(folder);
  bool given = true;
  for (const auto& name : reader.files) {
    const fs::path path = folder / name;
    if (!given) {
      fs::remove(path);
      continue;
    }
    const size_t end = name == reader.files.back() ? std::string_view::npos : input.find(separator);
    std::FILE* file = std::fopen(path.c_str(), "wb");  // faster than a stream
    std::fwrite(input.data(), 1, std::min(end, input.size()), file);
    std::fclose(file);
    given = end != std::string_view::npos;
    if (given) input.remove_prefix(end + separator.size());
  }
  const at::NoGradGuard no_gradient;
  try {
    reader.read(folder);
  } catch (const Error& e) {
    return e.what();
  }
  return "";
}

}  // namespace precis::fuzz

// Calls that change the disk fail in turn: training, sweeps, memory files, prepared corpora and pretraining then report
// an error, and the next start ends with the result of an undisturbed one. Of each kind of work some 15 calls, spread
// evenly, are tried; all of them with PRECIS_EVERY_WRITE=1.
#include <dlfcn.h>
#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <torch/types.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <cstdarg>
#include <cstdlib>

#include "precis/core/file.h"
#include "precis/core/strings.h"
#include "precis/data/prepared.h"
#include "precis/data/synth.h"
#include "precis/memory/memory_file.h"
#include "precis/sweep/sweep.h"
#include "precis/train/pretrain.h"
#include "training.h"

namespace precis {
namespace {

namespace fs = std::filesystem;

enum class Fault {
  none,
  once,     // the call fails once (EIO)
  full,     // from this call on, nothing can be written (ENOSPC)
  half,     // a write ends half-way and fails
  stopped,  // from this call on, nothing changes the disk any more: a process that was killed there
};

struct Disk {
  std::atomic<Fault> fault = Fault::none;
  std::atomic<int64_t> at = 0, calls = 0;  // the call to fail; calls so far
  std::atomic<bool> counts = false;

  // What becomes of the next call: 0, or its errno.
  int next(bool writes) {
    if (!counts) return 0;
    const int64_t call = ++calls;
    switch (fault) {
      case Fault::once:
        return call == at ? EIO : 0;
      case Fault::full:
        return call >= at && writes ? ENOSPC : 0;
      case Fault::stopped:
        return call >= at ? EIO : 0;
      default:
        return 0;
    }
  }
  bool halves() { return counts && fault == Fault::half && calls + 1 == at; }
};

Disk& disk() {
  static Disk disk;
  return disk;
}

template <class F>
F next_symbol(const char* name) {
  return reinterpret_cast<F>(dlsym(RTLD_NEXT, name));
}

// Whether the call fails; sets errno.
bool fails(bool writes = false) {
  const int code = disk().next(writes);
  if (code != 0) errno = code;
  return code != 0;
}

}  // namespace
}  // namespace precis

// These replace the C library's in this program, for precis and the C++ library alike.
extern "C" {
ssize_t write(int descriptor, const void* data, size_t size) {
  static const auto real = precis::next_symbol<ssize_t (*)(int, const void*, size_t)>("write");
  if (descriptor <= 2) return real(descriptor, data, size);
  if (precis::disk().halves()) {
    precis::fails();
    real(descriptor, data, size / 2);
    errno = ENOSPC;
    return -1;
  }
  return precis::fails(true) ? -1 : real(descriptor, data, size);
}
ssize_t writev(int descriptor, const iovec* parts, int count) {
  static const auto real = precis::next_symbol<ssize_t (*)(int, const iovec*, int)>("writev");
  return descriptor > 2 && precis::fails(true) ? -1 : real(descriptor, parts, count);
}
int fsync(int descriptor) {
  static const auto real = precis::next_symbol<int (*)(int)>("fsync");
  return precis::fails() ? -1 : real(descriptor);
}
int rename(const char* from, const char* to) noexcept {
  static const auto real = precis::next_symbol<int (*)(const char*, const char*)>("rename");
  return precis::fails() ? -1 : real(from, to);
}
int renameat2(int a, const char* from, int b, const char* to, unsigned flags) noexcept {
  static const auto real = precis::next_symbol<int (*)(int, const char*, int, const char*, unsigned)>("renameat2");
  return precis::fails() ? -1 : real(a, from, b, to, flags);
}
int mkdir(const char* path, mode_t mode) noexcept {
  static const auto real = precis::next_symbol<int (*)(const char*, mode_t)>("mkdir");
  return precis::fails(true) ? -1 : real(path, mode);
}
int unlink(const char* path) noexcept {
  static const auto real = precis::next_symbol<int (*)(const char*)>("unlink");
  return precis::fails() ? -1 : real(path);
}
int unlinkat(int folder, const char* path, int flags) noexcept {
  static const auto real = precis::next_symbol<int (*)(int, const char*, int)>("unlinkat");
  return precis::fails() ? -1 : real(folder, path, flags);
}
int remove(const char* path) noexcept {
  static const auto real = precis::next_symbol<int (*)(const char*)>("remove");
  return precis::fails() ? -1 : real(path);
}
int truncate(const char* path, off_t size) noexcept {
  static const auto real = precis::next_symbol<int (*)(const char*, off_t)>("truncate");
  return precis::fails() ? -1 : real(path, size);
}
int open(const char* path, int flags, ...) {
  static const auto real = precis::next_symbol<int (*)(const char*, int, ...)>("open");
  va_list more;
  va_start(more, flags);
  const mode_t mode = (flags & O_CREAT) != 0 ? va_arg(more, mode_t) : 0;
  va_end(more);
  return (flags & O_CREAT) != 0 && precis::fails(true) ? -1 : real(path, flags, mode);
}
}

namespace precis {
namespace {

// Something that writes to `folder` and resumes there, and its result.
struct Work {
  std::string name;
  std::function<void(const fs::path& folder)> run;
  std::function<std::string(const fs::path& folder)> result;
};

std::string bytes_below(const fs::path& folder, const std::vector<std::string>& files) {
  std::string out;
  for (const auto& file : files) out += read_file(folder / file);
  return out;
}

Config sweep_config(const fs::path& data, const fs::path& folder, std::vector<ConfigLayer>& layers) {
  layers = config_layers(
      "", {"model.path=" + (data / "model").string(), "model.dtype=float32",
           "data.train=" + (data / "train.jsonl").string(), "data.eval=" + (data / "eval.jsonl").string(),
           "data.max_context_tokens=400", "compressor.segment_length=64", "train.steps=2", "train.batch=1",
           "train.log_interval=1", "eval.max_new_tokens=2", "eval.bootstrap_samples=10", "eval.references=none",
           R"(sweep.methods=[{"name":"icae","set":["compressor.method=icae","compressor.lora.rank=2"]}])",
           "sweep.ratios=[8]", "sweep.seeds=[1]", "run.dir=" + folder.string()});
  return resolve_config(layers, CompressorRegistry::built_in().methods());
}

// The scores of a sweep, without times.
std::string scores_of(const fs::path& folder) {
  std::map<std::string, std::string> rows;
  for (const Json& line : read_sweep_results(folder))
    rows[line["cell"]] = Json{line["row"]["tasks"], line["items"]}.dump();
  std::string out;
  for (const auto& [cell, scores] : rows) out += cat(cell, scores, "\n");
  return out;
}

std::vector<Work> all_work(const fs::path& data) {
  testing::write_tiny_model(data / "model", {{"max_position_embeddings", 1024}});
  testing::write_letter_tokenizer(data / "model");
  for (const char* split : {"train", "eval"})
    write_file_atomically(data / (std::string(split) + ".jsonl"),
                          [&](std::ostream& out) { write_synth(out, {.count = 2, .seed = 1, .split = split}); });
  std::string text;
  for (int i = 0; i < 400; ++i) text += cat("Sentence.number.", i, ".of.this.book\n");
  for (const char* book : {"one.txt", "two.txt"}) testing::write_text(data / "books" / book, text + book);
  const auto tokenizer = std::shared_ptr<Tokenizer>(testing::letter_tokenizer());
  const PrepareOptions prepare{.sources = {(data / "books").string()}, .shard_tokens = 5000, .jobs = 1};
  const std::string decoder = PRECIS_SOURCE_DIR "/assets/small-decoder";
  prepare_corpus(prepare, *load_tokenizer(decoder), data / "corpus");
  const auto memory = [](int64_t tokens) {
    const at::NoGradGuard no_gradient;
    const auto compressor = testing::make_compressor({"sac", {"compressor.method=sac"}});
    compressor->eval();
    return MemoryFile{compressor->compress(testing::random_contexts({tokens})), "source", "compressor"};
  };
  return {{"training",
           [](const fs::path& folder) {
             testing::run_training(testing::training_config(
                 folder / "run", {"train.steps=4", "train.save_interval=1", "train.schedule=constant"}));
           },
           [](const fs::path& folder) {
             return bytes_below(folder / "run",
                                {"compressor/compressor.safetensors", "checkpoints/step-000004/optimizer.safetensors"});
           }},
          {"a memory file",
           [memory](const fs::path& folder) {
             static const MemoryFile first = memory(20), second = memory(37);
             if (!fs::exists(folder / "m.safetensors")) save_memory(folder / "m.safetensors", first);
             save_memory(folder / "m.safetensors", second);
           },
           [](const fs::path& folder) {
             load_memory(folder / "m.safetensors");
             return read_file(folder / "m.safetensors");
           }},
          {"a sweep",
           [data](const fs::path& folder) {
             std::vector<ConfigLayer> layers;
             sweep_config(data, folder / "sweep", layers);
             const SweepOutcome outcome = run_sweep(layers, CompressorRegistry::built_in());
             if (outcome.failed > 0) throw Error({.what = "a cell failed"});
           },
           [](const fs::path& folder) { return scores_of(folder / "sweep"); }},
          {"a prepared corpus",
           [prepare, tokenizer](const fs::path& folder) { prepare_corpus(prepare, *tokenizer, folder / "corpus"); },
           [](const fs::path& folder) {
             std::string out;
             const Json manifest = read_json(folder / "corpus" / "manifest.json");
             for (const Json& shard : manifest["shards"])
               out += read_file(folder / "corpus" / shard["file"].get<std::string>());
             return out;
           }},
          {"pretraining",
           [data, decoder](const fs::path& folder) {
             PretrainOptions o;
             o.corpus = (data / "corpus").string();
             o.tokenizer = decoder;
             o.context = o.hidden = o.intermediate = 16;
             o.layers = o.heads = o.kv_heads = 1;
             o.steps = 3;
             o.batch = 2;
             o.save_interval = 1;
             pretrain(o, folder / "decoder", ProcessGroup());
           },
           [](const fs::path& folder) {
             return bytes_below(folder / "decoder", {"model.safetensors", "config.json"});
           }}};
}

class EveryWrite : public ::testing::TestWithParam<Fault> {};

TEST_P(EveryWrite, ThatFailsIsAnErrorAndTheNextStartGoesOn) {
  const testing::TemporaryFolder data;
  for (const Work& work : all_work(data.path())) {
    SCOPED_TRACE(work.name);
    const testing::TemporaryFolder whole;
    disk().calls = 0;
    disk().fault = Fault::none;
    disk().counts = true;
    work.run(whole.path());
    disk().counts = false;
    const int64_t calls = disk().calls;
    const std::string expected = work.result(whole.path());
    ASSERT_FALSE(expected.empty());
    ASSERT_GT(calls, 5) << work.name;
    const int64_t stride = std::getenv("PRECIS_EVERY_WRITE") != nullptr ? 1 : std::max<int64_t>(1, calls / 15);
    int64_t errors = 0;
    for (int64_t at = 1; at <= calls; at += stride) {
      const testing::TemporaryFolder folder;
      disk().calls = 0;
      disk().at = at;
      disk().fault = GetParam();
      disk().counts = true;
      std::string problem;
      try {
        work.run(folder.path());
      } catch (const Error& e) {
        ++errors;
      } catch (const fs::filesystem_error& e) {
        ++errors;
      } catch (const std::exception& e) {
        problem = e.what();
      }
      disk().counts = false;
      EXPECT_EQ(problem, "") << work.name << ", call " << at << " of " << calls;
      try {
        work.run(folder.path());
        EXPECT_TRUE(work.result(folder.path()) == expected) << work.name << ", call " << at << " of " << calls;
      } catch (const std::exception& e) {
        ADD_FAILURE() << work.name << ", call " << at << " of " << calls << ": " << e.what();
      }
    }
    EXPECT_GT(errors, GetParam() == Fault::half ? 0 : 3) << work.name;
  }
}

std::string name_of(const ::testing::TestParamInfo<Fault>& info) {
  static const char* const names[] = {"none", "once", "full", "half", "stopped"};
  return names[static_cast<int>(info.param)];
}

INSTANTIATE_TEST_SUITE_P(All, EveryWrite, ::testing::Values(Fault::once, Fault::full, Fault::half, Fault::stopped),
                         name_of);

}  // namespace
}  // namespace precis

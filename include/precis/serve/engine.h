// The work of many requests on one thread: between two tokens of the running generations it compresses a part of a
// text or reads a new prompt, so that no request waits for a whole text of another.
#pragma once

#include <condition_variable>
#include <deque>
#include <exception>
#include <future>
#include <list>
#include <mutex>
#include <thread>

#include "precis/compress/compressor.h"
#include "precis/memory/memory_file.h"
#include "precis/model/generate.h"

namespace precis {

// A prompt to continue: memories, one behind the other, then the query.
struct Generation {
  std::shared_ptr<Compressor> compressor;
  std::vector<std::shared_ptr<const MemoryFile>> memories;  // none: the query alone
  std::vector<int64_t> query;                               // token ids
  GenerateOptions options;

  // Both are called on the engine's thread. Returning false ends the generation (a stop text, a client that has left).
  std::function<bool(int64_t id)> on_token;
  // Once, at the end: `at_limit` if max_new_tokens ended it; `error` if it failed.
  std::function<void(bool at_limit, std::exception_ptr error)> on_end;
};

struct EngineLimits {
  int64_t most_running = 16;     // generations that decode at the same time
  int64_t most_waiting = 256;    // further ones, and compressions; beyond it: EngineBusy
  int64_t segments_at_once = 4;  // of a text that is compressed between two tokens
};

// Too many requests wait.
struct EngineBusy : std::runtime_error {
  EngineBusy() : std::runtime_error("too many requests are waiting") {}
};

// Every function may be called from any thread.
class Engine {
 public:
  Engine(std::shared_ptr<const Decoder> decoder, EngineLimits limits);
  ~Engine();  // ends what runs with an error
  Engine(const Engine&) = delete;
  Engine& operator=(const Engine&) = delete;

  // The memory of a text, appended to `before` if given. The future has the compressor's error if it fails. Throws
  // EngineBusy.
  std::future<Memory> compress(std::shared_ptr<Compressor> compressor, int64_t ratio, const std::vector<int64_t>& ids,
                               std::shared_ptr<const MemoryFile> before = nullptr);

  // Throws EngineBusy.
  void generate(Generation generation);

  struct State {
    int64_t running = 0, waiting = 0, compressing = 0;
  };
  State state() const;

 private:
  struct Compression;
  struct Running;

  void work();
  void compress_a_part();
  void start_next();
  std::optional<Tensor> next_token(Running& running);
  void read_tokens();
  void refuse_if_busy() const;

  std::shared_ptr<const Decoder> decoder_;
  EngineLimits limits_;
  mutable std::mutex mutex_;
  std::condition_variable wakes_;
  bool stops_ = false;
  std::deque<Generation> waiting_;
  std::list<Compression> compressions_;
  std::list<Running> running_;
  std::unique_ptr<class JointContinuation> joint_;  // of all that run
  std::thread thread_;
};

}  // namespace precis

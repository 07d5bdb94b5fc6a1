#include "precis/serve/engine.h"

#include <c10/core/InferenceMode.h>
#include <torch/types.h>

#include "precis/compress/parts.h"
#include "precis/core/error.h"
#include "precis/memory/memory_blocks.h"
#include "precis/model/continuation.h"
#include "precis/model/sampler.h"

namespace precis {

struct Engine::Compression {
  std::shared_ptr<Compressor> compressor;
  int64_t ratio;
  std::unique_ptr<PartsCompression> parts;
  std::promise<Memory> memory;
};

struct Engine::Running {
  Generation request;
  std::unique_ptr<Continuation> context;
  Sampler sampler;
  int64_t tokens = 0;
};

namespace {

DecoderInput prompt_of(const Decoder& decoder, const Generation& g) {
  const TokenBatch query = token_batch({g.query});
  if (g.memories.empty()) {
    return {decoder.embed(query.ids.to(decoder.device())), query.lengths,
            torch::arange(query.ids.size(1)).unsqueeze(0)};
  }
  std::vector<Memory> memories;
  for (const auto& file : g.memories) memories.push_back(with_dtype(file->memory, decoder.dtype(), decoder.device()));
  return g.compressor->prompt(concatenate(memories, decoder),
                              {Task::qa, query.ids, query.lengths, {}, torch::zeros({1}, torch::kLong)});
}

}  // namespace

Engine::Engine(std::shared_ptr<const Decoder> decoder, EngineLimits limits)
    : decoder_(std::move(decoder)), limits_(limits), thread_([this] { work(); }) {}

Engine::~Engine() {
  {
    const std::lock_guard lock(mutex_);
    stops_ = true;
  }
  wakes_.notify_all();
  thread_.join();
}

void Engine::refuse_if_busy() const {
  if (static_cast<int64_t>(waiting_.size() + compressions_.size()) >= limits_.most_waiting) throw EngineBusy();
}

std::future<Memory> Engine::compress(std::shared_ptr<Compressor> compressor, int64_t ratio,
                                     const std::vector<int64_t>& ids, std::shared_ptr<const MemoryFile> before) {
  Compression next{compressor, ratio, nullptr, {}};
  std::optional<Memory> earlier;
  if (before) earlier = with_dtype(before->memory, decoder_->dtype(), decoder_->device());
  next.parts =
      std::make_unique<PartsCompression>(*compressor, std::move(earlier), token_batch({ids}), limits_.segments_at_once);
  std::future<Memory> memory = next.memory.get_future();
  {
    const std::lock_guard lock(mutex_);
    refuse_if_busy();
    compressions_.push_back(std::move(next));
  }
  wakes_.notify_all();
  return memory;
}

void Engine::generate(Generation generation) {
  {
    const std::lock_guard lock(mutex_);
    refuse_if_busy();
    waiting_.push_back(std::move(generation));
  }
  wakes_.notify_all();
}

Engine::State Engine::state() const {
  const std::lock_guard lock(mutex_);
  return {static_cast<int64_t>(running_.size()), static_cast<int64_t>(waiting_.size()),
          static_cast<int64_t>(compressions_.size())};
}

// Only this thread takes from the lists, so references into them stay valid without the lock.
void Engine::work() {
  const c10::InferenceMode inference;
  for (;;) {
    {
      std::unique_lock lock(mutex_);
      wakes_.wait(lock, [this] { return stops_ || !running_.empty() || !waiting_.empty() || !compressions_.empty(); });
      if (stops_) break;
    }
    compress_a_part();
    start_next();
    read_tokens();
  }
  const auto stopped =
      std::make_exception_ptr(Error({.what = "the server is shutting down"}, Error::Kind::interrupted));
  for (auto& c : compressions_) c.memory.set_exception(stopped);
  for (auto& r : running_) r.request.on_end(false, stopped);
  for (auto& w : waiting_) w.on_end(false, stopped);
}

void Engine::compress_a_part() {
  Compression* c = nullptr;
  {
    const std::lock_guard lock(mutex_);
    if (!compressions_.empty()) c = &compressions_.front();
  }
  if (c == nullptr) return;
  std::list<Compression> done;
  try {
    c->compressor->set_ratio(c->ratio);
    if (c->parts->next()) {  // the next text's turn
      const std::lock_guard lock(mutex_);
      compressions_.splice(compressions_.end(), compressions_, compressions_.begin());
      return;
    }
    c->memory.set_value(c->parts->finish());
  } catch (...) {
    c->memory.set_exception(std::current_exception());
  }
  const std::lock_guard lock(mutex_);
  done.splice(done.begin(), compressions_, compressions_.begin());
}

void Engine::start_next() {
  Generation next;
  {
    const std::lock_guard lock(mutex_);
    if (waiting_.empty() || static_cast<int64_t>(running_.size()) >= limits_.most_running) return;
    next = std::move(waiting_.front());
    waiting_.pop_front();
  }
  try {
    std::list<Running> one;
    const GenerateOptions options = next.options;
    auto context = std::make_unique<Continuation>(*decoder_, prompt_of(*decoder_, next), options.max_new_tokens);
    one.push_back({std::move(next), std::move(context), Sampler(options)});
    joint_.reset();
    const std::lock_guard lock(mutex_);
    running_.splice(running_.end(), one);
  } catch (...) {
    next.on_end(false, std::current_exception());
  }
}

// The next token of a generation; nothing if it has ended.
std::optional<Tensor> Engine::next_token(Running& r) {
  bool at_limit = false;
  std::exception_ptr error;
  try {
    Tensor next = r.sampler.next(r.context->logits()).cpu();
    const int64_t id = next.item<int64_t>();
    if (!r.sampler.ends(id) && r.request.on_token(id)) {
      at_limit = ++r.tokens >= r.request.options.max_new_tokens;
      if (!at_limit) return next;
    }
  } catch (...) {
    error = std::current_exception();
  }
  r.request.on_end(at_limit, error);
  return std::nullopt;
}

void Engine::read_tokens() {
  std::vector<Tensor> ids;
  for (auto r = running_.begin(); r != running_.end();) {
    if (const auto next = next_token(*r)) {
      ids.push_back(*next);
      ++r;
      continue;
    }
    joint_.reset();
    const std::lock_guard lock(mutex_);
    r = running_.erase(r);
  }
  if (ids.empty()) return;
  if (!joint_) {
    std::vector<Continuation*> members;
    for (const auto& r : running_) members.push_back(r.context.get());
    joint_ = std::make_unique<JointContinuation>(*decoder_, std::move(members));
  }
  joint_->read(torch::cat(ids));
}

}  // namespace precis

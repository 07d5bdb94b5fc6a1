// The text of a generation on its way from the engine's thread to a connection's.
#pragma once

#include <chrono>
#include <condition_variable>
#include <exception>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "precis/text/stop_text.h"
#include "precis/text/tokenizer.h"

namespace precis {

class AnswerText {
 public:
  AnswerText(const Tokenizer& tokenizer, std::vector<std::string> stops)
      : stream_(tokenizer), stop_(std::move(stops)), start_(Clock::now()) {}

  // On the engine's thread.
  bool push(int64_t id);  // false: nothing more is wanted
  void end(bool at_limit, std::exception_ptr error);

  // The next piece of text; nothing at the end. Waits for it. Throws what the generation failed with.
  std::optional<std::string> next();
  void cancel();

  // After the end.
  const char* finish_reason() const { return at_limit_ ? "length" : "stop"; }
  int64_t tokens() const { return tokens_; }
  double seconds_to_first_token() const { return first_token_; }

 private:
  using Clock = std::chrono::steady_clock;

  std::mutex mutex_;
  std::condition_variable changed_;
  StreamDecoder stream_;
  StopText stop_;
  std::string ready_;
  bool ended_ = false, at_limit_ = false, cancelled_ = false;
  std::exception_ptr error_;
  int64_t tokens_ = 0;
  double first_token_ = 0;
  Clock::time_point start_;
};

}  // namespace precis

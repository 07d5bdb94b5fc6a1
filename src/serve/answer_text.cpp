#include "answer_text.h"

namespace precis {

bool AnswerText::push(int64_t id) {
  const std::lock_guard lock(mutex_);
  if (tokens_++ == 0) first_token_ = std::chrono::duration<double>(Clock::now() - start_).count();
  ready_ += stop_.push(stream_.push(id));
  changed_.notify_all();
  return !cancelled_ && !stop_.reached();
}

void AnswerText::end(bool at_limit, std::exception_ptr error) {
  const std::lock_guard lock(mutex_);
  ready_ += stop_.push(stream_.finish());
  ready_ += stop_.finish();
  at_limit_ = at_limit;
  error_ = error;
  ended_ = true;
  changed_.notify_all();
}

std::optional<std::string> AnswerText::next() {
  std::unique_lock lock(mutex_);
  changed_.wait(lock, [this] { return ended_ || !ready_.empty(); });
  if (error_) std::rethrow_exception(error_);
  if (ready_.empty()) return std::nullopt;
  return std::exchange(ready_, "");
}

void AnswerText::cancel() {
  const std::lock_guard lock(mutex_);
  cancelled_ = true;
}

}  // namespace precis

#pragma once

#include <cstdio>
#include <string>
#include <vector>

#include "precis/text/stop_text.h"
#include "precis/text/tokenizer.h"

namespace precis {

// Collects the text of one answer, and streams it to standard output if `shown`.
class Answer {
 public:
  Answer(const Tokenizer& tokenizer, const std::vector<std::string>& stops, bool shown)
      : stream_(tokenizer), stop_(stops), shown_(shown) {}

  bool push(int64_t id) {
    show(stop_.push(stream_.push(id)));
    ++tokens_;
    return !stop_.reached();
  }
  void finish() {
    show(stop_.push(stream_.finish()));
    show(stop_.finish());
  }
  const std::string& text() const { return text_; }
  int64_t tokens() const { return tokens_; }

 private:
  void show(const std::string& piece) {
    text_ += piece;
    if (!shown_) return;
    std::fputs(piece.c_str(), stdout);
    std::fflush(stdout);
  }

  StreamDecoder stream_;
  StopText stop_;
  std::string text_;
  int64_t tokens_ = 0;
  bool shown_;
};

}  // namespace precis

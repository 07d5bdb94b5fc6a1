// Stop texts in a stream: text is released as soon as it can no longer be the beginning of a stop text.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace precis {

class StopText {
 public:
  explicit StopText(std::vector<std::string> stops) : stops_(std::move(stops)) {}  // empty ones are ignored

  std::string push(std::string_view piece);  // text that may be shown now; "" once a stop text was found
  std::string finish();                      // at the end of the stream: the text held back
  bool reached() const { return reached_; }

 private:
  std::vector<std::string> stops_;
  std::string held_;
  bool reached_ = false;
};

}  // namespace precis

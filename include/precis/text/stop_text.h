// Stop texts in a stream: text is handed on as soon as it cannot be the beginning of a stop text any more.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace precis {

class StopText {
 public:
  explicit StopText(std::vector<std::string> stops) : stops_(std::move(stops)) {}  // empty ones are left out

  std::string push(std::string_view piece);  // what may be shown now; nothing more once a stop text was found
  std::string finish();                      // at the end of the stream: what was held back
  bool reached() const { return reached_; }

 private:
  std::vector<std::string> stops_;
  std::string held_;
  bool reached_ = false;
};

}  // namespace precis

#include "precis/text/stop_text.h"

#include <algorithm>

namespace precis {

std::string StopText::push(std::string_view piece) {
  if (reached_) return "";
  held_ += piece;
  size_t end = std::string::npos, keep = 0;
  for (const auto& stop : stops_) {
    if (stop.empty()) continue;
    end = std::min(end, held_.find(stop));
    // The longest suffix of the text so far that is a prefix of this stop text.
    size_t prefix = std::min(stop.size() - 1, held_.size());
    while (prefix > 0 && !held_.ends_with(std::string_view(stop).substr(0, prefix))) --prefix;
    keep = std::max(keep, prefix);
  }
  reached_ = end != std::string::npos;
  const std::string shown = held_.substr(0, reached_ ? end : held_.size() - keep);
  held_ = reached_ ? "" : held_.substr(shown.size());
  return shown;
}

std::string StopText::finish() {
  std::string rest;
  rest.swap(held_);
  return rest;
}

}  // namespace precis

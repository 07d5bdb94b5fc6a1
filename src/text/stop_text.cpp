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
    // The longest end of the text so far with which this stop text could begin.
    size_t begun = std::min(stop.size() - 1, held_.size());
    while (begun > 0 && !held_.ends_with(std::string_view(stop).substr(0, begun))) --begun;
    keep = std::max(keep, begun);
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

#include "metrics.h"

#include <array>

#include "precis/core/strings.h"

namespace precis {
namespace {

constexpr std::array bounds = {0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0};

}  // namespace

void Metrics::count_request(const std::string& endpoint, int status) {
  const std::lock_guard lock(mutex_);
  ++requests_[cat("endpoint=\"", endpoint, "\",status=\"", status, "\"")];
}

void Metrics::add(const std::string& name, int64_t value) {
  const std::lock_guard lock(mutex_);
  counters_[name] += value;
}

void Metrics::observe(const std::string& name, double seconds) {
  const std::lock_guard lock(mutex_);
  Histogram& h = histograms_[name];
  h.below.resize(bounds.size());
  for (size_t i = 0; i < bounds.size(); ++i) h.below[i] += seconds <= bounds[i];
  ++h.count;
  h.sum += seconds;
}

std::string Metrics::text(const std::map<std::string, double>& gauges) const {
  const std::lock_guard lock(mutex_);
  std::string out = "# TYPE precis_requests_total counter\n";
  for (const auto& [labels, count] : requests_) out += cat("precis_requests_total{", labels, "} ", count, "\n");
  for (const auto& [name, value] : counters_) out += cat("# TYPE ", name, " counter\n", name, " ", value, "\n");
  for (const auto& [name, value] : gauges) out += cat("# TYPE ", name, " gauge\n", name, " ", value, "\n");
  for (const auto& [name, h] : histograms_) {
    out += cat("# TYPE ", name, " histogram\n");
    for (size_t i = 0; i < bounds.size(); ++i) out += cat(name, "_bucket{le=\"", bounds[i], "\"} ", h.below[i], "\n");
    out +=
        cat(name, "_bucket{le=\"+Inf\"} ", h.count, "\n", name, "_sum ", h.sum, "\n", name, "_count ", h.count, "\n");
  }
  return out;
}

}  // namespace precis

// Counters of the server in Prometheus' text format.
#pragma once

#include <cstdint>
#include <map>
#include <mutex>
#include <string>
#include <vector>

namespace precis {

// Safe to use from several threads.
class Metrics {
 public:
  void count_request(const std::string& endpoint, int status);
  void add(const std::string& name, int64_t value);       // a counter
  void observe(const std::string& name, double seconds);  // a histogram
  // `gauges`: values of this moment, by name.
  std::string text(const std::map<std::string, double>& gauges) const;

 private:
  struct Histogram {
    std::vector<int64_t> below;  // observations up to each bound
    int64_t count = 0;
    double sum = 0;
  };
  mutable std::mutex mutex_;
  std::map<std::string, int64_t> requests_;  // by labels
  std::map<std::string, int64_t> counters_;
  std::map<std::string, Histogram> histograms_;
};

}  // namespace precis

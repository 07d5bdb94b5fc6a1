// The time of a training step, by part.
#pragma once

#include <chrono>

namespace precis {

struct StepSeconds {
  double data = 0, encode = 0, decode = 0, backward = 0, communicate = 0, optimizer = 0;
};

// Adds the time since construction, or since the last call, to a part.
class Stopwatch {
 public:
  void add_to(double& part) {
    const auto now = Clock::now();
    part += std::chrono::duration<double>(now - last_).count();
    last_ = now;
  }
  double total() const { return std::chrono::duration<double>(Clock::now() - start_).count(); }

 private:
  using Clock = std::chrono::steady_clock;
  Clock::time_point start_ = Clock::now(), last_ = start_;
};

}  // namespace precis

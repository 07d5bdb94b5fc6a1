// Progress of long work: a bar on a terminal, periodic log lines elsewhere.
#pragma once

#include <chrono>
#include <string>

namespace precis {

class Progress {
 public:
  // `total` in `unit`s. Without a terminal: one log line at most every `seconds_between_lines`.
  Progress(std::string title, double total, std::string unit, double seconds_between_lines = 30);
  ~Progress();
  Progress(const Progress&) = delete;
  Progress& operator=(const Progress&) = delete;

  // `done` units are complete; `note` is shown at the end of the line.
  void update(double done, const std::string& note = "");

 private:
  std::string title_, unit_;
  double total_, seconds_between_lines_;
  bool terminal_;
  std::chrono::steady_clock::time_point start_, last_;
  bool drawn_ = false;
};

}  // namespace precis

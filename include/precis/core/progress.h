// Progress of something long: a bar that redraws itself on a terminal, a plain line now and then elsewhere.
#pragma once

#include <chrono>
#include <string>

namespace precis {

class Progress {
 public:
  // `total` in `unit`s; a plain log line at most every `seconds_between_lines` where there is no terminal.
  Progress(std::string title, double total, std::string unit, double seconds_between_lines = 30);
  ~Progress();
  Progress(const Progress&) = delete;
  Progress& operator=(const Progress&) = delete;

  // `done` units are behind us; `note` is shown at the end of the line.
  void update(double done, const std::string& note = "");

 private:
  std::string title_, unit_;
  double total_, seconds_between_lines_;
  bool terminal_;
  std::chrono::steady_clock::time_point start_, last_;
  bool drawn_ = false;
};

}  // namespace precis

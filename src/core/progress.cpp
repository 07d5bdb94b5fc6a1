#include "precis/core/progress.h"

#include <unistd.h>

#include <algorithm>
#include <cstdio>

#include "precis/core/log.h"
#include "precis/core/strings.h"

namespace precis {
namespace {

std::string clock_text(double seconds) {
  const auto s = static_cast<long>(std::max(0.0, seconds));
  char buffer[32];
  std::snprintf(buffer, sizeof buffer, "%ld:%02ld", s / 60, s % 60);
  return buffer;
}

double seconds_between(std::chrono::steady_clock::time_point a, std::chrono::steady_clock::time_point b) {
  return std::chrono::duration<double>(b - a).count();
}

}  // namespace

Progress::Progress(std::string title, double total, std::string unit, double seconds_between_lines)
    : title_(std::move(title)),
      unit_(std::move(unit)),
      total_(std::max(total, 1e-9)),
      seconds_between_lines_(seconds_between_lines),
      terminal_(isatty(STDERR_FILENO) == 1),
      start_(std::chrono::steady_clock::now()),
      last_(start_) {}

Progress::~Progress() {
  if (terminal_ && drawn_) std::fputs("\r\033[K", stderr);
}

void Progress::update(double done, const std::string& note) {
  const auto now = std::chrono::steady_clock::now();
  const double wait = terminal_ ? 0.1 : seconds_between_lines_;
  if (seconds_between(last_, now) < wait) return;
  last_ = now;
  const double share = std::clamp(done / total_, 0.0, 1.0), passed = seconds_between(start_, now);
  const std::string left = share > 0 ? clock_text(passed * (1 - share) / share) : "?";
  const std::string text =
      cat(title_, " ", fixed(100 * share, 0), "% (", fixed(done, 0), "/", fixed(total_, 0), " ", unit_, "), ",
          clock_text(passed), " elapsed, ", left, " left", note.empty() ? "" : ", ", note);
  if (!terminal_) return log::info(text);
  constexpr int width = 24;
  std::string bar(static_cast<size_t>(share * width), '#');
  bar.resize(width, '.');
  std::fprintf(stderr, "\r\033[K[%s] %s", bar.c_str(), text.c_str());
  std::fflush(stderr);
  drawn_ = true;
}

}  // namespace precis

#include "precis/core/interrupt.h"

#include <unistd.h>

#include <atomic>
#include <climits>
#include <csignal>
#include <cstring>

namespace precis {
namespace {

volatile std::sig_atomic_t caught_signal = 0;  // the only type that a signal handler may write
std::atomic<int> guards = 0;

// Paths of temporary files, for the handler: it may neither allocate nor lock.
constexpr size_t most_files = 16;
char temporary_files[most_files][PATH_MAX];
std::atomic<bool> in_use[most_files];

void on_signal(int number) {
  std::signal(number, SIG_DFL);
  caught_signal = 1;
  if (guards > 0) return;
  for (size_t i = 0; i < most_files; ++i) {
    if (in_use[i] && temporary_files[i][0] != '\0') ::unlink(temporary_files[i]);
  }
  std::raise(number);
}

}  // namespace

void install_interrupt_handlers() {
  std::signal(SIGINT, on_signal);
  std::signal(SIGTERM, on_signal);
}

bool interrupted() { return caught_signal != 0; }

InterruptGuard::InterruptGuard() { ++guards; }
InterruptGuard::~InterruptGuard() { --guards; }

TemporaryFile::TemporaryFile(const std::filesystem::path& path) : path_(path) {
  for (size_t i = 0; i < most_files; ++i) {
    if (in_use[i].exchange(true)) continue;
    slot_ = temporary_files[i];
    const std::string absolute = std::filesystem::absolute(path).string();
    if (absolute.size() < PATH_MAX) std::strcpy(slot_, absolute.c_str());
    return;
  }
}

TemporaryFile::~TemporaryFile() {
  ::unlink(path_.c_str());
  if (slot_ == nullptr) return;
  *slot_ = '\0';
  in_use[static_cast<size_t>(slot_ - temporary_files[0]) / PATH_MAX] = false;
}

}  // namespace precis

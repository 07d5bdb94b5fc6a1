// Interruption by SIGINT or SIGTERM. Work that can stop and resume holds an InterruptGuard and polls `interrupted`
// between its steps; outside of such work the first signal ends the process.
#pragma once

#include <filesystem>

namespace precis {

void install_interrupt_handlers();
bool interrupted();

// During its lifetime the first signal only sets `interrupted`; the second ends the process.
class InterruptGuard {
 public:
  InterruptGuard();
  ~InterruptGuard();
  InterruptGuard(const InterruptGuard&) = delete;
  InterruptGuard& operator=(const InterruptGuard&) = delete;
};

// A temporary file; a signal that ends the process removes it.
class TemporaryFile {
 public:
  explicit TemporaryFile(const std::filesystem::path& path);
  ~TemporaryFile();  // removes the file
  TemporaryFile(const TemporaryFile&) = delete;
  TemporaryFile& operator=(const TemporaryFile&) = delete;

 private:
  char* slot_ = nullptr;
  std::filesystem::path path_;
};

}  // namespace precis

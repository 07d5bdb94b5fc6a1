#include "precis/core/interrupt.h"

#include <csignal>

namespace precis {
namespace {

volatile std::sig_atomic_t caught_signal = 0;  // the only type that a signal handler may write

void on_signal(int number) {
  caught_signal = 1;
  std::signal(number, SIG_DFL);
}

}  // namespace

void install_interrupt_handlers() {
  std::signal(SIGINT, on_signal);
  std::signal(SIGTERM, on_signal);
}

bool interrupted() { return caught_signal != 0; }

}  // namespace precis

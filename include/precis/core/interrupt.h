// Interruption by SIGINT or SIGTERM: long work polls `interrupted` between steps, saves and stops.
#pragma once

namespace precis {

void install_interrupt_handlers();  // a second signal ends the process immediately
bool interrupted();

}  // namespace precis

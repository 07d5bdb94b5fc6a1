// Interruption by SIGINT or SIGTERM: long work asks between two steps and ends itself after a clean save.
#pragma once

namespace precis {

void install_interrupt_handlers();  // a second signal ends the process at once
bool interrupted();

}  // namespace precis

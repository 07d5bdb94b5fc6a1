// This process and its children: memory in use, how it was called, and running the same program again for work that
// needs a process of its own.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace precis {

int64_t resident_bytes();          // memory in use now
int64_t peak_resident_bytes();     // the most since the start, or since reset_peak_resident_bytes
bool reset_peak_resident_bytes();  // false where the system does not allow it
void return_free_memory();         // what the C library's allocator keeps of freed memory goes back to the system

// How this program was called: its name without folders, and its arguments; "" where the system does not tell.
std::string command_line();
std::string for_shell(const std::vector<std::string>& words);  // one line that a shell reads as these words

// Runs this program with other arguments and waits; its standard error is ours.
struct ChildResult {
  int exit_code = 0;  // 128 + signal number if a signal ended it
  std::string output;
};
ChildResult run_this_program(const std::vector<std::string>& arguments);

}  // namespace precis

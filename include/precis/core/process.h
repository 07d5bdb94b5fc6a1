// This process and its children: memory in use, the command line, and running the program again in a child process.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace precis {

int64_t resident_bytes();          // memory in use now
int64_t peak_resident_bytes();     // the maximum since the start, or since reset_peak_resident_bytes
bool reset_peak_resident_bytes();  // false if the system does not allow it
void return_free_memory();         // returns the allocator's free memory to the system

// The command line: the program's name without folders, and its arguments; "" if the system does not provide it.
std::string command_line();
std::string for_shell(const std::vector<std::string>& words);  // the words quoted for a shell, on one line

// Runs this program with other arguments and waits. The child inherits standard error.
struct ChildResult {
  int exit_code = 0;  // 128 + signal number if killed by a signal
  std::string output;
};
ChildResult run_this_program(const std::vector<std::string>& arguments);

}  // namespace precis

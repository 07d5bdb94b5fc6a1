// The command-line program as a function, so that a program with compressors of its own is a few lines: make a
// registry, add to it, call run_program.
#pragma once

#include "precis/compress/compressor.h"

namespace precis {

// Runs `precis COMMAND ...`; results go to standard output, log and errors to standard error. Returns the exit code:
// 0 done, 1 a check failed, 2 bad usage, config or input, 3 out of resources, 130 interrupted.
int run_program(int argc, char** argv, const CompressorRegistry& registry = CompressorRegistry::built_in());

}  // namespace precis

// The command-line program as a function. A program with custom compressors is a few lines: create a registry, add to
// it, call run_program.
#pragma once

#include "precis/compress/compressor.h"

namespace precis {

// Runs `precis COMMAND ...`; results go to standard output, log and errors to standard error. Returns the exit code:
// 0 success, 1 a check failed, 2 bad usage, config or input, 3 out of resources, 130 interrupted.
int run_program(int argc, char** argv, const CompressorRegistry& registry = CompressorRegistry::built_in());

}  // namespace precis

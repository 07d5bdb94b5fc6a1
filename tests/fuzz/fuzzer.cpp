// libFuzzer's entry point; the environment variable PRECIS_FUZZ_READER chooses the reader (scripts/fuzz.sh).
#include <cstdint>
#include <cstdio>
#include <cstdlib>

#include "readers.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static const precis::fuzz::Reader* reader = [] {
    const char* name = std::getenv("PRECIS_FUZZ_READER");
    for (const auto& known : precis::fuzz::readers()) {
      if (name != nullptr && known.name == name) return &known;
    }
    std::fputs("set PRECIS_FUZZ_READER to one of the readers in tests/fuzz/readers.cpp\n", stderr);
    std::exit(2);
  }();
  precis::fuzz::run(*reader, {reinterpret_cast<const char*>(data), size});
  return 0;
}

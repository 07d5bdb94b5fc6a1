// The replay test: every seed and every past finding (found-*) once, without libFuzzer. --write-seeds FOLDER writes the
// seeds that hold hashes; --list prints the readers' names.
#include <chrono>
#include <cstdio>

#include "precis/core/file.h"
#include "precis/core/process.h"
#include "readers.h"

namespace fs = std::filesystem;

namespace {

constexpr double most_seconds = 10, most_bytes = 1 << 30;

bool replay(const precis::fuzz::Reader& reader, const fs::path& file) {
  std::string problem;
  const auto start = std::chrono::steady_clock::now();
  try {
    const std::string error = precis::fuzz::run(reader, precis::read_file(file));
    if (!file.filename().string().starts_with("found-")) problem = error;  // a seed is a good file
  } catch (const std::exception& e) {
    problem = e.what();
  }
  const std::chrono::duration<double> seconds = std::chrono::steady_clock::now() - start;
  if (seconds.count() > most_seconds) problem = "it takes more than 10 seconds";
  if (static_cast<double>(precis::peak_resident_bytes()) > most_bytes) problem = "it takes more than 1 GB of memory";
  if (!problem.empty()) std::printf("%s: %s\n", file.c_str(), problem.c_str());
  return problem.empty();
}

}  // namespace

int main(int argc, char** argv) {
  if (argc == 3 && std::string(argv[1]) == "--write-seeds") return precis::fuzz::write_seeds(argv[2]), 0;
  if (argc == 2 && std::string(argv[1]) == "--list") {
    for (const auto& reader : precis::fuzz::readers()) std::puts(reader.name.c_str());
    return 0;
  }
  int count = 0, failed = 0;
  for (const auto& reader : precis::fuzz::readers()) {
    const int before = count;
    for (const auto& entry : fs::directory_iterator(fs::path(PRECIS_SOURCE_DIR) / "tests/fuzz/seeds" / reader.name)) {
      ++count;
      failed += replay(reader, entry.path()) ? 0 : 1;
    }
    if (count == before) return std::printf("%s has no seeds\n", reader.name.c_str()), 1;
  }
  std::printf("%d inputs of %zu readers, %d failed\n", count, precis::fuzz::readers().size(), failed);
  return failed == 0 ? 0 : 1;
}

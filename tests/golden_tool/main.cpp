#include <c10/util/Exception.h>

#include <cstdio>
#include <cstring>

#include "golden.h"
#include "precis/core/strings.h"

namespace fs = std::filesystem;

namespace {

bool run_path(const fs::path& path, const std::string& model) {
  using namespace precis::golden;
  if (fs::exists(path / "compressor.json")) return run_compressor_case(path);
  if (fs::exists(path / "case.json")) return run_decoder_case(path);
  if (fs::exists(path / "expected.json")) return run_real_model(path, model);
  if (path.extension() == ".json" && path.parent_path().filename() == "tokenizers")
    return run_tokenizer_vectors(path, model);
  if (path.extension() == ".json") return run_table(path);
  throw precis::Error({.what = "not a golden case", .where = path.string(), .expected = "a case folder or a table"});
}

}  // namespace

// Exit codes: 0 all equal, 1 a difference, 2 a case cannot be read.
int main(int argc, char** argv) {
  std::string model;
  std::vector<fs::path> paths;
  for (int i = 1; i < argc; ++i) {
    if (std::strcmp(argv[i], "--model") == 0 && i + 1 < argc) {
      model = argv[++i];
    } else {
      paths.emplace_back(argv[i]);
    }
  }
  if (paths.empty()) {
    std::fputs("usage: precis-golden [--model PATH] PATH...\n", stderr);
    return 2;
  }
  bool passed = true, readable = true;
  for (const auto& path : paths) {
    try {
      passed = run_path(fs::path(path).lexically_normal().string().ends_with("/") ? fs::path(path).parent_path() : path,
                        model) &&
               passed;
    } catch (const std::exception& e) {
      std::fprintf(stderr, "precis-golden: %s: %s\n", path.c_str(), precis::excerpt(e.what(), 400).c_str());
      readable = false;
    }
  }
  return !readable ? 2 : passed ? 0 : 1;
}

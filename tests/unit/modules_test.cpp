// The modules and their order: a module includes only itself and modules above it; the first three do not use LibTorch.
#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <regex>

#include "precis/core/strings.h"

namespace precis {
namespace {

const std::vector<std::string> modules = {"core",     "config",  "text", "weights", "mask", "nn",    "model", "memory",
                                          "compress", "methods", "data", "train",   "eval", "sweep", "serve", "app"};
constexpr size_t modules_without_libtorch = 3;

TEST(Modules, IncludeOnlyThemselvesAndModulesAbove) {
  const std::regex include_line(R"re(^\s*#include\s+["<]([^">]+)[">])re");
  int files = 0;
  for (const char* tree : {"include/precis", "src"}) {
    for (size_t own = 0; own < modules.size(); ++own) {
      const auto folder = std::filesystem::path(PRECIS_SOURCE_DIR) / tree / modules[own];
      ASSERT_TRUE(std::filesystem::is_directory(folder)) << folder;
      for (const auto& entry : std::filesystem::directory_iterator(folder)) {
        ++files;
        std::ifstream in(entry.path());
        for (std::string line; std::getline(in, line);) {
          std::smatch match;
          if (!std::regex_search(line, match, include_line)) continue;
          const std::string target = match[1];
          if (target.starts_with("precis/")) {
            const auto used = std::find(modules.begin(), modules.end(), split(target, '/')[1]);
            ASSERT_NE(used, modules.end()) << entry.path() << " " << target;
            EXPECT_LE(static_cast<size_t>(used - modules.begin()), own) << entry.path() << " includes " << target;
          }
          const bool libtorch =
              target.starts_with("torch/") || target.starts_with("ATen/") || target.starts_with("c10/");
          EXPECT_FALSE(libtorch && own < modules_without_libtorch) << entry.path() << " includes " << target;
        }
      }
    }
  }
  EXPECT_GT(files, 60);
}

TEST(Modules, EveryFolderIsAModule) {
  for (const char* tree : {"include/precis", "src"}) {
    for (const auto& entry : std::filesystem::directory_iterator(std::filesystem::path(PRECIS_SOURCE_DIR) / tree)) {
      EXPECT_NE(std::find(modules.begin(), modules.end(), entry.path().filename().string()), modules.end())
          << entry.path();
    }
  }
}

}  // namespace
}  // namespace precis

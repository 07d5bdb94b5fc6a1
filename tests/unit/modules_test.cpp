// The rooms and their order: a room includes only itself and rooms above it; the first three know no LibTorch.
#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <regex>

#include "precis/core/strings.h"

namespace precis {
namespace {

const std::vector<std::string> rooms = {"core",     "config", "text",  "weights", "nn",    "mask", "model",
                                        "compress", "data",   "train", "eval",    "sweep", "app"};
constexpr size_t rooms_without_libtorch = 3;

TEST(Rooms, IncludeOnlyWhatStandsAboveThem) {
  const std::regex include_line(R"re(^\s*#include\s+["<]([^">]+)[">])re");
  int files = 0;
  for (const char* side : {"include/precis", "src"}) {
    for (size_t room = 0; room < rooms.size(); ++room) {
      const auto folder = std::filesystem::path(PRECIS_SOURCE_DIR) / side / rooms[room];
      ASSERT_TRUE(std::filesystem::is_directory(folder)) << folder;
      for (const auto& entry : std::filesystem::directory_iterator(folder)) {
        ++files;
        std::ifstream in(entry.path());
        for (std::string line; std::getline(in, line);) {
          std::smatch match;
          if (!std::regex_search(line, match, include_line)) continue;
          const std::string target = match[1];
          if (target.starts_with("precis/")) {
            const auto used = std::find(rooms.begin(), rooms.end(), split(target, '/')[1]);
            ASSERT_NE(used, rooms.end()) << entry.path() << " " << target;
            EXPECT_LE(static_cast<size_t>(used - rooms.begin()), room) << entry.path() << " includes " << target;
          }
          const bool libtorch =
              target.starts_with("torch/") || target.starts_with("ATen/") || target.starts_with("c10/");
          EXPECT_FALSE(libtorch && room < rooms_without_libtorch) << entry.path() << " includes " << target;
        }
      }
    }
  }
  EXPECT_GT(files, 60);
}

TEST(Rooms, EveryFolderIsARoom) {
  for (const char* side : {"include/precis", "src"}) {
    for (const auto& entry : std::filesystem::directory_iterator(std::filesystem::path(PRECIS_SOURCE_DIR) / side)) {
      EXPECT_NE(std::find(rooms.begin(), rooms.end(), entry.path().filename().string()), rooms.end()) << entry.path();
    }
  }
}

}  // namespace
}  // namespace precis

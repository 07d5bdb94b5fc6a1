#include <gtest/gtest.h>

#include <atomic>
#include <set>
#include <thread>

#include "precis/core/error.h"
#include "precis/core/file.h"
#include "precis/core/hash.h"
#include "precis/core/json.h"
#include "precis/core/process.h"
#include "precis/core/random.h"
#include "precis/core/strings.h"
#include "precis/core/unpack.h"
#include "support.h"

namespace precis {
namespace {

using testing::error_of;
using testing::TemporaryFolder;

TEST(Error, SaysWhatWhereExpectedFoundAndHint) {
  const Error e({.what = "too short", .where = "a.json", .expected = "3", .found = "2", .hint = "add one"});
  EXPECT_STREQ(e.what(), "a.json: too short; expected 3, found 2 (hint: add one)");
  EXPECT_EQ(e.exit_code(), 2);
}

TEST(Strings, NearestWordFindsTypos) {
  EXPECT_EQ(nearest_word("ratoi", {"ratio", "chunk"}), "ratio");
  EXPECT_EQ(nearest_word("zzzzzzzz", {"ratio", "chunk"}), "");
}

TEST(Strings, ReplaceAllDoesNotSearchItsOwnInsertions) { EXPECT_EQ(replace_all("aXa", "X", "XX"), "aXXa"); }

TEST(Strings, ExcerptNeverCutsACharacter) { EXPECT_EQ(excerpt("ab\xC3\xA9", 3), "ab..."); }

TEST(Process, SaysHowItWasCalledAsAShellWouldReadIt) {
  EXPECT_EQ(command_line().rfind("precis_unit_tests", 0), 0u) << command_line();
  EXPECT_EQ(for_shell({"precis", "a=b/c.json", "", "it's [1]"}), R"(precis a=b/c.json '' 'it'\''s [1]')");
}

TEST(Files, AtomicWriteLeavesTheOldFileWhenFillingFails) {
  const TemporaryFolder folder;
  write_file_atomically(folder / "f", "old");
  EXPECT_THROW(write_file_atomically(folder / "f",
                                     [](std::ostream& out) {
                                       out << "half";
                                       throw std::runtime_error("x");
                                     }),
               std::runtime_error);
  EXPECT_EQ(read_file(folder / "f"), "old");
  EXPECT_EQ(std::distance(std::filesystem::directory_iterator(folder.path()), {}), 1);
}

TEST(Files, ThreadsMayWriteTheSameFile) {
  const TemporaryFolder folder;
  std::atomic<int> failures = 0;
  std::vector<std::thread> threads;
  for (const char letter : {'a', 'b', 'c', 'd'}) {
    threads.emplace_back([&, letter] {
      for (int i = 0; i < 25; ++i) {
        try {
          write_file_atomically(folder / "f", std::string(100000, letter));
        } catch (const Error&) {
          ++failures;
        }
      }
    });
  }
  for (auto& thread : threads) thread.join();
  EXPECT_EQ(failures, 0);
  const std::string text = read_file(folder / "f");
  EXPECT_EQ(text, std::string(100000, text.at(0)));  // written by a single thread
  EXPECT_EQ(std::distance(std::filesystem::directory_iterator(folder.path()), {}), 1);
}

TEST(Files, FullDiskIsAResourceErrorAndLeavesNothing) {
  if (!std::filesystem::exists("/dev/full")) GTEST_SKIP() << "no /dev/full";
  try {
    append_line("/dev/full", "text");
    FAIL() << "writing to a full device succeeded";
  } catch (const Error& e) {
    EXPECT_EQ(e.exit_code(), 3);
  }
}

TEST(Files, AFolderIsHeldByOneHolderOnly) {
  const TemporaryFolder folder;
  const FolderLock first(folder.path());
  EXPECT_CONTAINS(error_of([&] { FolderLock second(folder.path()); }), "in use");
}

TEST(Files, BrokenGzipIsNamed) {
  const TemporaryFolder folder;
  testing::write_text(folder / "x.gz", "not gzip at all");
  EXPECT_CONTAINS(error_of([&] { read_unpacked(folder / "x.gz"); }), "gzip");
}

TEST(Json, RefusesDuplicateKeysAndBadText) {
  EXPECT_CONTAINS(error_of([] { parse_json(R"({"a": 1, "a": 2})", "f"); }), "duplicate key");
  EXPECT_CONTAINS(error_of([] { parse_json("{\"a\": \"\xff\"}", "f"); }), "not valid JSON");
  EXPECT_CONTAINS(error_of([] { parse_json("{", "f"); }), "line 1");
  EXPECT_EQ(parse_json("// comment\n{\"a\": 1}", "f").at("a"), 1);
}

TEST(Random, StreamsAreIndependentAndRepeatable) {
  EXPECT_EQ(Random(1, "a").next(), Random(1, "a").next());
  std::set<uint64_t> firsts;
  for (uint64_t i = 0; i < 100; ++i) firsts.insert(Random(1, "a", i).next());
  EXPECT_EQ(firsts.size(), 100u);
  EXPECT_NE(Random(1, "a").next(), Random(1, "b").next());
}

TEST(Random, BelowIsUniform) {
  Random random(3);
  std::vector<int> counts(5);
  for (int i = 0; i < 50000; ++i) ++counts[static_cast<size_t>(random.below(5))];
  for (const int count : counts) EXPECT_NEAR(count, 10000, 450);
}

TEST(Hash, DependsOnEveryByteAndOnNothingElse) {
  EXPECT_EQ(hash_hex("abc"), Hasher().update("a").update("bc").hex());
  EXPECT_NE(hash_hex("abc"), hash_hex("abd"));
}

}  // namespace
}  // namespace precis

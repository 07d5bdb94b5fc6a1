// Generated contexts of a given length, after RULER.
#include "precis/data/ruler.h"

#include <gtest/gtest.h>

#include <map>
#include <sstream>

#include "precis/core/json.h"
#include "precis/core/strings.h"
#include "support.h"

namespace precis {
namespace {

using testing::error_of;

struct Made {
  Json record;
  std::string context, question;
  std::vector<std::string> answers;
};

std::vector<Made> made(const RulerOptions& options) {
  std::stringstream out;
  write_ruler(out, options, count_words);
  std::vector<Made> records;
  for (const auto& line : split(out.str(), '\n')) {
    if (line.empty() || line.starts_with("{\"header\"")) continue;
    const Json record = Json::parse(line);
    records.push_back({record, record["context"], record["qas"][0]["question"], record["qas"][0]["answers"]});
  }
  return records;
}

TEST(Ruler, ContextsAreAsLongAsTheirPartsAllowAndRepeatable) {
  const std::map<std::string, int64_t> longest_part = {{"niah", 20}, {"vt", 20}, {"cwe", 6}, {"fwe", 40}, {"qa", 200}};
  for (const auto& kind : ruler_kinds()) {
    RulerOptions options{.kind = kind, .lengths = {4096, 1000}, .depths = {0, 50}, .count = 1};
    const auto records = made(options);
    const bool has_depth = kind == "niah" || kind == "qa";
    ASSERT_EQ(records.size(), has_depth ? 4u : 2u) << kind;
    for (const auto& made : records) {
      const int64_t length = made.record["length"], words = count_words(made.context);
      EXPECT_LE(words, length) << kind;
      EXPECT_GT(words, length - longest_part.at(kind) - length / 50) << kind;
      EXPECT_EQ(made.record["qas"][0].contains("depth"), has_depth) << kind;
      for (const auto& answer : made.answers) EXPECT_CONTAINS(made.context, answer);
    }
    EXPECT_EQ(made(options)[1].record, records[1].record) << kind;
    options.seed = 2;
    EXPECT_NE(made(options)[1].context, records[1].context) << kind;
  }
}

TEST(Ruler, NeedlesAreAtTheirDepth) {
  RulerOptions options{.lengths = {2000}, .depths = {0, 25, 100}, .count = 3, .needles = 4, .values = 2};
  for (const auto& made : made(options)) {
    ASSERT_EQ(made.answers.size(), 2u);
    const double depth = made.record["qas"][0]["depth"];
    const auto place =
        static_cast<double>(made.context.find(made.answers[0])) / static_cast<double>(made.context.size());
    EXPECT_NEAR(place, depth, 0.06) << made.record["id"];
    size_t needles = 0;
    for (size_t at = 0; (at = made.context.find("One of the special magic numbers for", at)) != std::string::npos; ++at)
      ++needles;
    EXPECT_EQ(needles, 8u);
  }
  const testing::TemporaryFolder folder;
  testing::write_text(folder / "text.txt", "It rained. Was it\ncold? Nobody knew! The end");
  options.haystack = {folder / "text.txt"};
  EXPECT_CONTAINS(made(options)[0].context, "It rained. Was it cold? Nobody knew! The end It rained.");
}

TEST(Ruler, CommonAndFrequentWordsAreThoseThatOccurMost) {
  for (const char* kind : {"cwe", "fwe"}) {
    for (const auto& made : made({.kind = kind, .lengths = {6000, 1500}, .count = 1})) {
      std::map<std::string, int> counts;
      for (const auto& word : split(replace_all(made.context, "\n", " "), ' ')) ++counts[word];
      int least = 1 << 30;
      for (const auto& answer : made.answers) least = std::min(least, counts[answer]);
      for (const auto& [word, count] : counts) {
        if (word == "..." || std::find(made.answers.begin(), made.answers.end(), word) != made.answers.end()) continue;
        EXPECT_LT(count, least) << kind << " " << word;
      }
    }
  }
}

TEST(Ruler, ChainsLeadToTheAskedValueAndDocumentsToTheAnswer) {
  for (const auto& made : made({.kind = "vt", .lengths = {800}, .count = 3, .hops = 6})) {
    ASSERT_EQ(made.answers.size(), 7u);
    size_t before = made.context.find("VAR " + made.answers[0] + " = ");
    for (size_t i = 1; i < 7; ++i) {
      const size_t at = made.context.find(cat("VAR ", made.answers[i], " = VAR ", made.answers[i - 1]));
      EXPECT_TRUE(at != std::string::npos && at > before);
      before = at;
    }
  }
  const testing::TemporaryFolder folder;
  std::string lines;
  for (int i = 0; i < 40; ++i)
    lines += cat(R"({"context": "Town )", i, R"( has a mayor.", "question": "Which town is )", i,
                 R"(?", "answers": "Town )", i, "\"}\n");
  testing::write_text(folder / "towns.jsonl", lines);
  RulerOptions options{.kind = "qa", .lengths = {150}, .depths = {100}, .count = 5, .data = folder / "towns.jsonl"};
  for (const auto& made : made(options)) {
    const std::string last = made.context.substr(made.context.rfind("Document"));
    EXPECT_CONTAINS(last, made.answers[0] + " has");
  }
  options.lengths = {4000};
  EXPECT_CONTAINS(error_of([&] { made(options); }), "too few passages");
  EXPECT_CONTAINS(error_of([&] { made({.kind = "cwe", .lengths = {50}}); }), "too short");
}

}  // namespace
}  // namespace precis

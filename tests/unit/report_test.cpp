// Reports over several data sets, heat maps, their formats, and comparisons of two reports.
#include <gtest/gtest.h>

#include "precis/core/file.h"
#include "precis/core/strings.h"
#include "precis/eval/compare.h"
#include "precis/eval/evaluator.h"
#include "precis/eval/predictions.h"
#include "support.h"

namespace precis {
namespace {

using testing::error_of;
using testing::TemporaryFolder;

// A report on two sets of two contexts with two questions each; `right` says which answers are.
Report report_of(const std::string& row, const std::vector<double>& right) {
  Report report;
  report.in_domain = {"SQuAD"};
  report.bootstrap_samples = 200;
  report.environment = Json::object();
  for (size_t c = 0; c < 4; ++c) {
    Passage passage{cat("context ", c), {}, c < 2 ? "SQuAD" : "News, old"};
    passage.length = c % 2 == 0 ? 1000 : 2000;
    for (int q = 0; q < 2; ++q) passage.questions.push_back({cat("id", c), "q", {"a"}, {}, q == 0 ? 0 : 0.5});
    report.passages.push_back(std::move(passage));
  }
  report.questions = list_questions(report.passages, 0);
  TaskScores scores{.task = "qa"};
  scores.measures = {mean_percent("em_percent", right)};
  for (size_t i = 0; i < right.size(); ++i) {
    scores.groups.push_back(static_cast<int64_t>(i / 2));
    scores.ids.push_back(report.questions[i].question->id);
    scores.texts.push_back("a");
    scores.sets.push_back(report.questions[i].passage->set);
  }
  ReportRow out{.name = row, .method = row, .prompt = "plain"};
  out.tasks = {scores};
  report.rows = {out};
  return report;
}

TEST(Report, HasARowForEachSetAndMeansOverSets) {
  const Json json = report_json(report_of("sac-4", {1, 1, 1, 0, 0, 0, 0, 1}));
  const Json& qa = json["rows"][0]["tasks"]["qa"];
  EXPECT_EQ(qa["sets"]["SQuAD"]["measures"]["em_percent"]["value"], 75);
  EXPECT_EQ(qa["sets"]["News, old"]["items"], 4);
  EXPECT_EQ(qa["means"]["in_domain"]["em_percent"], 75);
  EXPECT_EQ(qa["means"]["out_of_domain"]["em_percent"], 25);
  EXPECT_EQ(qa["means"]["all"]["em_percent"], 50);
  const std::string markdown = report_markdown(json);
  EXPECT_CONTAINS(markdown, "| row | SQuAD | News, old | mean in domain | mean out of domain | mean all |");
  EXPECT_CONTAINS(markdown, "| sac-4 | 75.0 | 25.0 | 75.0 | 25.0 | 50.0 |");
  const std::string csv = report_csv(json);
  EXPECT_CONTAINS(csv, "sac-4,qa,\"News, old\",em_percent,25.0,");
  EXPECT_CONTAINS(csv, "sac-4,qa,mean out of domain,em_percent,25.0,,\n");
  const std::string latex = latex_of(report_tables(json));
  EXPECT_CONTAINS(latex, "em\\_percent [95 \\%]");
  EXPECT_CONTAINS(latex, "sac-4 & 75.0 & 25.0 & 75.0 & 25.0 & 50.0 \\\\");
}

TEST(Report, HasAHeatMapOfLengthAndDepth) {
  const Json json = report_json(report_of("sac-4", {1, 0, 0, 0, 1, 1, 0, 1}));
  const Json& map = json["rows"][0]["tasks"]["qa"]["heat_map"];
  EXPECT_EQ(map["lengths"], Json({1000, 2000}));
  EXPECT_EQ(map["depths"], Json({0.0, 0.5}));
  EXPECT_EQ(map["values"], Json({{100.0, 0.0}, {50.0, 50.0}}));
  EXPECT_CONTAINS(report_markdown(json), "| 0.50 | 50 | 50 |");
}

TEST(Compare, PairsTheSameItemsOfTwoReports) {
  const TemporaryFolder folder;
  const std::vector<double> low = {0, 0, 1, 0, 0, 0, 1, 0}, high = {1, 0, 1, 1, 1, 0, 1, 1};
  write_report(folder / "low", report_of("sac-4", low));
  write_report(folder / "high", report_of("sac-4", high));
  const Json compared = compare_reports({folder / "low", folder / "high" / "report.json"}, {.samples = 500});
  ASSERT_EQ(compared.size(), 1u);
  EXPECT_EQ(compared[0]["items"], 8);
  EXPECT_EQ(compared[0]["contexts"], 4);
  EXPECT_EQ(compared[0]["difference"], 50);
  // Every context gains one answer in two, so no resampling changes the difference: it is paired.
  EXPECT_EQ(compared[0]["low"], 50);
  EXPECT_EQ(compared[0]["high"], 50);
  EXPECT_CONTAINS(markdown_of({comparison_table(compared)}), "50.0 [50.0, 50.0]");
  EXPECT_CONTAINS(comparison_csv(compared), "report,row,against_report,against,task,measure");
  write_report(folder / "other", report_of("pic-4", high));
  EXPECT_CONTAINS(error_of([&] { compare_reports({folder / "low", folder / "other"}, {}); }), "rows pic-4 and sac-4");
  EXPECT_EQ(compare_reports({folder / "low", folder / "other"}, {.row = "pic-4", .against = "sac-4"}).size(), 1u);
  EXPECT_CONTAINS(error_of([&] {
                    compare_reports({folder / "low", folder / "high"}, {.measure = "f1_percent"});
                  }),
                  "nothing to compare");
}

// The difference and its interval are those that one report gives for its two rows.
TEST(Compare, AgreesWithTheReportsOwnDifferences) {
  const TemporaryFolder folder;
  const std::vector<double> a = {0, 1, 1, 0, 0, 0, 1, 0}, b = {1, 0, 0, 1, 1, 0, 1, 1};
  Report both = report_of("a", a);
  both.rows.push_back(report_of("b", b).rows[0]);
  write_report(folder / "both", both);
  const Json one = report_json(both)["differences"][0];
  const Json two = compare_reports({folder / "both", folder / "both"}, {.row = "a", .against = "b", .samples = 200})[0];
  for (const char* key : {"difference", "low", "high"}) EXPECT_EQ(one[key], two[key]) << key;
}

TEST(Compare, ItemsThatDoNotFitAreRefused) {
  const TemporaryFolder folder;
  testing::write_text(
      folder / "i.json",
      R"({"ids": ["a"], "contexts": [0], "sets": ["s"], "measures": {"em_percent": [[1, 1], [0, 1]]}})");
  EXPECT_CONTAINS(error_of([&] { read_items(folder / "i.json", "qa"); }), "unequal lengths");
  testing::write_text(folder / "i.json",
                      R"({"ids": ["a"], "contexts": [0], "sets": ["s"], "measures": {"meteor": [[1, 1]]}})");
  EXPECT_CONTAINS(error_of([&] { read_items(folder / "i.json", "qa"); }), "unknown measure");
}

TEST(Predictions, RepeatedIdsGetNumbers) {
  PredictionIds ids;
  EXPECT_EQ(ids.next("7"), "7");
  EXPECT_EQ(ids.next("7"), "7~2");
  EXPECT_EQ(ids.next("7"), "7~3");
  EXPECT_EQ(ids.next("8"), "8");
}

}  // namespace
}  // namespace precis

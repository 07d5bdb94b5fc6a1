// Paired comparison of reports: differences between rows over the same items, with 95 % bootstrap intervals over
// contexts (Efron and Tibshirani 1993).
#pragma once

#include <filesystem>

#include "precis/eval/report_tables.h"

namespace precis {

struct CompareOptions {
  std::string row, against;   // names of rows; empty: rows of the same name in both reports
  std::string task, measure;  // empty: all that both have
  int64_t samples = 1000;     // of the bootstrap
};

// Compares each later report with the first one, both as folders of `precis eval`. Items are matched by id; items that
// only one report has are left out with a warning. Returns a list of
//   {report, row, against_report, against, task, measure, items, contexts, value, against_value, difference, low, high}
// Throws Error if nothing is left to compare.
Json compare_reports(const std::vector<std::filesystem::path>& reports, const CompareOptions& options);

ReportTable comparison_table(const Json& comparisons);
std::string comparison_csv(const Json& comparisons);

}  // namespace precis

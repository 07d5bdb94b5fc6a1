// Tables of a report, and of comparisons between reports, as Markdown, LaTeX and CSV.
#pragma once

#include <string>
#include <vector>

#include "precis/core/json.h"

namespace precis {

struct ReportTable {
  std::string title, note;
  std::vector<std::string> head;
  std::vector<std::vector<std::string>> rows;
};

// All tables of a report as report_json gives it. Several data sets have a table a measure: a row for each row of the
// report, a column for each set, and means over in-domain, out-of-domain and all sets, as papers on MRQA print them.
std::vector<ReportTable> report_tables(const Json& report);

std::string markdown_of(const std::vector<ReportTable>& tables);
std::string latex_of(const std::vector<ReportTable>& tables);  // tabular environments with booktabs' rules

// A line for each score: row, task, set, measure, value, low, high. Means over sets have no interval.
std::string report_csv(const Json& report);

// A cell as CSV has it: in quotes where it has a separator, a quote or a line end.
std::string csv_cell(const std::string& text);

// "12.3 [11.0, 13.6]" from an object with value, low and high.
std::string with_interval(const Json& score, const char* value = "value");

}  // namespace precis

#include "precis/eval/compare.h"

#include <map>
#include <set>

#include "precis/core/error.h"
#include "precis/core/log.h"
#include "precis/core/strings.h"
#include "precis/eval/predictions.h"

namespace precis {
namespace fs = std::filesystem;
namespace {

// A report's folder, and its rows with their tasks.
struct OpenReport {
  fs::path folder;
  std::vector<std::pair<std::string, std::vector<std::string>>> rows;

  explicit OpenReport(const fs::path& path) : folder(path.filename() == "report.json" ? path.parent_path() : path) {
    const std::string where = (folder / "report.json").string();
    for (const Json& row : json_get<std::vector<Json>>(read_json(where), "rows", where)) {
      std::vector<std::string> tasks;
      const Json scores = json_get<Json>(row, "tasks", where);
      for (const auto& [task, of_task] : scores.items()) tasks.push_back(task);
      rows.emplace_back(json_get<std::string>(row, "name", where), std::move(tasks));
    }
  }

  TaskScores items(const std::string& row, const std::string& task) const {
    return read_items(folder / "items" / cat(row, ".", task, ".json"), task);
  }
  std::vector<std::string> names() const {
    std::vector<std::string> names;
    for (const auto& [name, tasks] : rows) names.push_back(name);
    return names;
  }
};

// The items that both have, in the order of `a`.
struct Paired {
  std::vector<std::pair<size_t, size_t>> places;  // in a and b
  std::vector<int64_t> groups;                    // a's contexts, from 0 without gaps

  Paired(const TaskScores& a, const TaskScores& b) {
    std::map<std::string, size_t> place_in_b;
    for (size_t i = 0; i < b.ids.size(); ++i) place_in_b.emplace(b.ids[i], i);
    std::map<int64_t, int64_t> index;
    for (size_t i = 0; i < a.ids.size(); ++i) {
      const auto found = place_in_b.find(a.ids[i]);
      if (found == place_in_b.end() || a.sets[i] != b.sets[found->second]) continue;
      places.emplace_back(i, found->second);
      groups.push_back(index.emplace(a.groups[i], static_cast<int64_t>(index.size())).first->second);
    }
  }
  int64_t contexts() const { return static_cast<int64_t>(std::set<int64_t>(groups.begin(), groups.end()).size()); }
};

class Comparison {
 public:
  Comparison(const OpenReport& report, const OpenReport& baseline, const CompareOptions& options, Json& out)
      : report_(report), baseline_(baseline), options_(options), out_(out) {}

  void run() {
    for (const auto& [row, tasks] : report_.rows) {
      if (!options_.row.empty() && row != options_.row) continue;
      const std::string& other = options_.against.empty() ? row : options_.against;
      for (const auto& [against, tasks_of_it] : baseline_.rows) {
        if (against != other) continue;
        for (const auto& task : tasks) {
          const bool wanted = options_.task.empty() || options_.task == task;
          if (wanted && std::find(tasks_of_it.begin(), tasks_of_it.end(), task) != tasks_of_it.end())
            add(row, against, task);
        }
      }
    }
  }

 private:
  void add(const std::string& row, const std::string& against, const std::string& task) {
    const TaskScores a = report_.items(row, task), b = baseline_.items(against, task);
    const Paired paired(a, b);
    if (const size_t alone = a.ids.size() + b.ids.size() - 2 * paired.places.size(); alone > 0)
      log::warn(cat(row, " and ", against, ", ", task, ": ", alone, " items are in one report only"));
    if (paired.places.empty()) return;
    for (const Measure& measure : a.measures) {
      if (!options_.measure.empty() && options_.measure != measure.name) continue;
      for (const Measure& other : b.measures) {
        if (other.name != measure.name) continue;
        Measure x{measure.name, {}, measure.value}, y = x;
        for (const auto& [i, j] : paired.places) {
          x.items.push_back(measure.items[i]);
          y.items.push_back(other.items[j]);
        }
        const double value = value_of(x), against_value = value_of(y);
        const Interval interval = bootstrap_difference(x, y, paired.groups, options_.samples);
        out_.push_back({{"report", report_.folder.string()},
                        {"row", row},
                        {"against_report", baseline_.folder.string()},
                        {"against", against},
                        {"task", task},
                        {"measure", measure.name},
                        {"items", paired.places.size()},
                        {"contexts", paired.contexts()},
                        {"value", value},
                        {"against_value", against_value},
                        {"difference", value - against_value},
                        {"low", interval.low},
                        {"high", interval.high}});
      }
    }
  }

  const OpenReport &report_, &baseline_;
  const CompareOptions& options_;
  Json& out_;
};

std::string in_report(const Json& c, const char* row, const char* report) {
  return cat(c.at(row).get<std::string>(), " (", c.at(report).get<std::string>(), ")");
}

}  // namespace

Json compare_reports(const std::vector<fs::path>& reports, const CompareOptions& options) {
  check(reports.size() >= 2, "compare_reports: two reports or more");
  const OpenReport baseline(reports.front());
  Json out = Json::array();
  for (size_t i = 1; i < reports.size(); ++i) {
    const OpenReport report(reports[i]);
    const size_t before = out.size();
    Comparison(report, baseline, options, out).run();
    if (out.size() > before) continue;
    throw Error({.what = "nothing to compare",
                 .where = cat(reports[i].string(), " and ", reports.front().string()),
                 .expected = "a row, a task, a measure and items that both have",
                 .found = cat("rows ", join(report.names(), ", "), " and ", join(baseline.names(), ", ")),
                 .hint = "--row and --against name rows of the later and of the first report"});
  }
  return out;
}

ReportTable comparison_table(const Json& comparisons) {
  ReportTable table{"Comparison",
                    "Differences over the same items, with 95 % intervals from a paired bootstrap over contexts.",
                    {"row", "against", "measure", "items", "value", "against", "difference [95 %]"},
                    {}};
  for (const Json& c : comparisons) {
    table.rows.push_back({in_report(c, "row", "report"), in_report(c, "against", "against_report"),
                          cat(c["task"].get<std::string>(), " ", c["measure"].get<std::string>()), c["items"].dump(),
                          fixed(c["value"], 1), fixed(c["against_value"], 1), with_interval(c, "difference")});
  }
  return table;
}

std::string comparison_csv(const Json& comparisons) {
  std::string text;
  for (const Json& c : comparisons) {
    std::vector<std::string> head, cells;
    for (const auto& [key, value] : c.items()) {
      head.push_back(key);
      cells.push_back(value.is_string() ? csv_cell(value.get<std::string>()) : value.dump());
    }
    if (text.empty()) text = join(head, ",") + "\n";
    text += join(cells, ",") + "\n";
  }
  return text;
}

}  // namespace precis

#include "precis/eval/report_tables.h"

#include <algorithm>

#include "precis/core/markdown.h"
#include "precis/core/strings.h"

namespace precis {
namespace {

std::string number(const Json& value, int digits) { return value.is_null() ? "" : fixed(value.get<double>(), digits); }

std::string with_spread(const Json& value, int digits) {
  if (value.is_null()) return "";
  return cat(number(value["median"], digits), " (", number(value["low_quartile"], digits), "–",
             number(value["high_quartile"], digits), ")");
}

std::string text_of(const Json& row, const char* key) { return row.at(key).get<std::string>(); }

void add_new(const std::string& name, std::vector<std::string>& names) {
  if (std::find(names.begin(), names.end(), name) == names.end()) names.push_back(name);
}

// The keys of objects in the rows, in the order of their first appearance.
template <class ObjectOf>
std::vector<std::string> keys_in_rows(const Json& report, const ObjectOf& object_of) {
  std::vector<std::string> keys;
  for (const Json& row : report.at("rows")) {
    const Json object = object_of(row);
    if (!object.is_object()) continue;
    for (const auto& [key, value] : object.items()) add_new(key, keys);
  }
  return keys;
}

// A part of a row's scores in a task; null if it has none.
Json part_of(const Json& row, const std::string& task, const char* part) {
  return row["tasks"].contains(task) ? row["tasks"][task].value(part, Json()) : Json();
}

ReportTable task_table(const Json& report, const std::string& task) {
  ReportTable table{task, "", {"row", "prompt"}, {}};
  for (const Json& row : report.at("rows")) {
    if (!row["tasks"].contains(task)) continue;
    std::vector<std::string> cells = {text_of(row, "name"), text_of(row, "prompt")};
    for (const auto& [name, score] : row["tasks"][task]["measures"].items()) {
      if (table.rows.empty()) table.head.insert(table.head.end(), {name + " [95 %]", "share of the gap %"});
      cells.push_back(with_interval(score));
      cells.push_back(score.contains("share_of_gap_percent") ? number(score["share_of_gap_percent"], 0) : "");
    }
    table.rows.push_back(std::move(cells));
  }
  return table;
}

ReportTable set_table(const Json& report, const std::string& task, const std::string& measure) {
  const auto sets = keys_in_rows(report, [&](const Json&row) { return part_of(row, task, "sets"); }),
             means = keys_in_rows(report, [&](const Json&row) { return part_of(row, task, "means"); });
  ReportTable table{cat(task, ", ", measure, " by set"), "Means are over sets, each of the same weight.", {"row"}, {}};
  table.head.insert(table.head.end(), sets.begin(), sets.end());
  for (const auto& mean : means) table.head.push_back("mean " + replace_all(mean, "_", " "));
  for (const Json& row : report.at("rows")) {
    const Json of_sets = part_of(row, task, "sets"), of_means = part_of(row, task, "means");
    if (!of_sets.is_object()) continue;
    std::vector<std::string> cells = {text_of(row, "name")};
    for (const auto& set : sets)
      cells.push_back(of_sets.contains(set) ? number(of_sets[set]["measures"][measure]["value"], 1) : "");
    for (const auto& mean : means) cells.push_back(number(of_means[mean][measure], 1));
    table.rows.push_back(std::move(cells));
  }
  return table;
}

// Length × depth, for one row of the report.
ReportTable heat_map_table(const Json& row, const std::string& task) {
  const Json map = part_of(row, task, "heat_map");
  ReportTable table{cat(task, ", ", text_of(map, "measure"), " by length and depth: ", text_of(row, "name")),
                    "Columns: length of the context. Rows: depth of the answer, 0 at its beginning.",
                    {"depth"},
                    {}};
  for (const Json& length : map["lengths"]) table.head.push_back(length.dump());
  for (size_t i = 0; i < map["depths"].size(); ++i) {
    std::vector<std::string> cells = {number(map["depths"][i], 2)};
    for (const Json& value : map["values"][i]) cells.push_back(number(value, 0));
    table.rows.push_back(std::move(cells));
  }
  return table;
}

ReportTable cost_table(const Json& report) {
  ReportTable table{"Cost",
                    "Median (quartiles) over batches. Break-even: questions and generated tokens after which "
                    "compressing a context costs less than reading it in full.",
                    {"row", "entries / token", "bytes / token", "compress ms / context", "prefill ms / question",
                     "decode ms / token", "break-even questions", "break-even tokens", "peak MB"},
                    {}};
  for (const Json& row : report.at("rows")) {
    if (!row.contains("cost")) continue;
    const Json& c = row["cost"];
    const auto break_even_of = [&](const char* key) {
      return !c.contains(key) ? std::string() : c[key].is_null() ? "never" : number(c[key], 0);
    };
    table.rows.push_back(
        {text_of(row, "name"), number(c["entries_per_source_token"], 3), number(c["bytes_per_source_token"], 0),
         with_spread(c["compress_milliseconds_per_context"], 1), with_spread(c["prefill_milliseconds_per_question"], 1),
         with_spread(c["decode_milliseconds_per_token"], 2), break_even_of("break_even_questions"),
         break_even_of("break_even_tokens"), number(row["peak_mb"], 0)});
  }
  return table;
}

ReportTable difference_table(const Json& report) {
  ReportTable table{
      "Differences", "Paired over the same contexts.", {"row", "against", "measure", "difference [95 %]"}, {}};
  for (const Json& d : report.at("differences")) {
    table.rows.push_back({text_of(d, "row"), text_of(d, "against"), cat(text_of(d, "task"), " ", text_of(d, "measure")),
                          with_interval(d, "difference")});
  }
  return table;
}

ReportTable failure_table(const Json& report) {
  ReportTable table{"Failed", "", {"row", "task", "reason"}, {}};
  for (const Json& row : report.at("rows")) {
    if (!row.contains("failures")) continue;
    for (const auto& [task, reason] : row["failures"].items())
      table.rows.push_back({text_of(row, "name"), task, reason});
  }
  return table;
}

ReportTable curve_table(const Json& report) {
  ReportTable table{"Learning curves",
                    "Evaluations during training; seconds exclude evaluations.",
                    {"row", "step", "train seconds", "EM %", "F1 %", ""},
                    {}};
  for (const Json& row : report.at("rows")) {
    for (const Json& point : row["learning_curve"]) {
      if (!point.contains("em_percent")) continue;  // other tasks' scores are in metrics.jsonl only
      const double em = point.value("em_percent", 0.0);
      table.rows.push_back({text_of(row, "name"), cat(point.value("step", 0)),
                            fixed(point.value("train_seconds", 0.0), 0), fixed(em, 1),
                            fixed(point.value("f1_percent", 0.0), 1), std::string(static_cast<size_t>(em / 2), '#')});
    }
  }
  return table;
}

std::string latex_text(const std::string& text) {
  std::string out;
  for (const char c : text) {
    if (std::string_view("&%$#_{}").find(c) != std::string_view::npos) out += '\\';
    out += c == '~' ? "\\textasciitilde{}" : c == '^' ? "\\textasciicircum{}" : std::string(1, c);
  }
  return replace_all(out, "–", "--");
}

std::string latex_row(const std::vector<std::string>& cells, size_t width) {
  std::string line;
  for (size_t i = 0; i < width; ++i) line += (i > 0 ? " & " : "") + (i < cells.size() ? latex_text(cells[i]) : "");
  return line + " \\\\\n";
}

}  // namespace

std::string with_interval(const Json& score, const char* value) {
  return cat(number(score.at(value), 1), " [", number(score.at("low"), 1), ", ", number(score.at("high"), 1), "]");
}

std::vector<ReportTable> report_tables(const Json& report) {
  std::vector<ReportTable> tables;
  const auto tasks = keys_in_rows(report, [](const Json& row) { return row.at("tasks"); });
  for (const auto& task : tasks) tables.push_back(task_table(report, task));
  for (const auto& task : tasks) {
    const auto measures = keys_in_rows(report, [&](const Json& row) {
      return part_of(row, task, "sets").is_object() ? part_of(row, task, "measures") : Json();
    });
    for (const auto& measure : measures) tables.push_back(set_table(report, task, measure));
    for (const Json& row : report.at("rows")) {
      if (part_of(row, task, "heat_map").is_object()) tables.push_back(heat_map_table(row, task));
    }
  }
  for (auto* table : {failure_table, cost_table, difference_table, curve_table}) tables.push_back(table(report));
  std::erase_if(tables, [](const ReportTable& table) { return table.rows.empty(); });
  return tables;
}

std::string markdown_of(const std::vector<ReportTable>& tables) {
  std::string text;
  for (const auto& table : tables) {
    MarkdownTable markdown(table.head);
    for (const auto& row : table.rows) markdown.add(row);
    text += cat("\n## ", table.title, "\n", table.note.empty() ? "" : table.note + "\n\n", markdown.text());
  }
  return text;
}

std::string latex_of(const std::vector<ReportTable>& tables) {
  std::string text = "% Needs \\usepackage{booktabs}.\n";
  for (const auto& table : tables) {
    text += cat("\n% ", table.title, "\n\\begin{tabular}{l", std::string(table.head.size() - 1, 'r'), "}\n\\toprule\n",
                latex_row(table.head, table.head.size()), "\\midrule\n");
    for (const auto& row : table.rows) text += latex_row(row, table.head.size());
    text += "\\bottomrule\n\\end{tabular}\n";
  }
  return text;
}

std::string csv_cell(const std::string& text) {
  if (text.find_first_of(",\"\r\n") == std::string::npos) return text;
  return cat('"', replace_all(text, "\"", "\"\""), '"');
}

std::string report_csv(const Json& report) {
  std::string text = "row,task,set,measure,value,low,high\n";
  const auto add = [&](const Json& row, const std::string& task, const std::string& set, const Json& measures) {
    for (const auto& [name, score] : measures.items()) {
      const bool alone = score.is_number() || score.is_null();
      text += cat(csv_cell(text_of(row, "name")), ",", task, ",", csv_cell(set), ",", name, ",",
                  alone ? score.dump() : score.at("value").dump(), ",", alone ? "" : score.at("low").dump(), ",",
                  alone ? "" : score.at("high").dump(), "\n");
    }
  };
  for (const Json& row : report.at("rows")) {
    for (const auto& [task, scores] : row.at("tasks").items()) {
      add(row, task, "", scores.at("measures"));
      const Json sets = scores.value("sets", Json::object()), means = scores.value("means", Json::object());
      for (const auto& [set, of_set] : sets.items()) add(row, task, set, of_set.at("measures"));
      for (const auto& [mean, values] : means.items()) add(row, task, "mean " + replace_all(mean, "_", " "), values);
    }
  }
  return text;
}

}  // namespace precis

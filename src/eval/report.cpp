#include <algorithm>
#include <cmath>
#include <set>

#include "precis/core/file.h"
#include "precis/core/markdown.h"
#include "precis/core/strings.h"
#include "precis/eval/evaluator.h"

namespace precis {
namespace fs = std::filesystem;
namespace {

const TaskScores* find_task(const ReportRow& row, const std::string& task) {
  for (const auto& scores : row.tasks) {
    if (scores.task == task) return &scores;
  }
  return nullptr;
}

// The value of a row's measure, if both exist.
std::optional<double> value_in(const Report& report, const std::string& row_name, const std::string& task,
                               const std::string& measure) {
  for (const auto& row : report.rows) {
    if (row.name != row_name) continue;
    const TaskScores* scores = find_task(row, task);
    if (scores == nullptr) continue;
    for (const auto& m : scores->measures) {
      if (m.name == measure) return value_of(m);
    }
  }
  return std::nullopt;
}

Json task_json(const Report& report, const TaskScores& scores) {
  Json measures = Json::object();
  for (const auto& measure : scores.measures) {
    const double value = value_of(measure);
    const Interval interval = bootstrap_interval(measure, scores.groups, report.bootstrap_samples);
    Json entry = {{"value", value}, {"low", interval.low}, {"high", interval.high}};
    const auto none = value_in(report, "none", scores.task, measure.name),
               full = value_in(report, "full", scores.task, measure.name);
    if (none && full && *none != *full) entry["share_of_gap_percent"] = 100 * (value - *none) / (*full - *none);
    measures[measure.name] = entry;
  }
  return {{"items", scores.groups.size()},
          {"contexts", std::set<int64_t>(scores.groups.begin(), scores.groups.end()).size()},
          {"measures", measures}};
}

// Median and quartiles.
Json spread_of(std::vector<double> values) {
  if (values.empty()) return nullptr;
  std::sort(values.begin(), values.end());
  const auto at = [&](double share) {
    const double place = share * static_cast<double>(values.size() - 1);
    const auto low = static_cast<size_t>(place);
    const double part = place - static_cast<double>(low);
    return values[low] + (low + 1 < values.size() ? part * (values[low + 1] - values[low]) : 0);
  };
  return {{"median", at(0.5)}, {"low_quartile", at(0.25)}, {"high_quartile", at(0.75)}};
}

// Skips the first batch as warm-up, unless it is the only one.
Json cost_json(const ReadingCost& cost) {
  std::vector<double> compress, prefill, decode;
  int64_t questions = 0, generated = 0;
  for (size_t i = cost.batches.size() > 1 ? 1 : 0; i < cost.batches.size(); ++i) {
    const auto& batch = cost.batches[i];
    compress.push_back(1000 * batch.compress_seconds / static_cast<double>(batch.contexts));
    prefill.push_back(1000 * batch.prefill_seconds / static_cast<double>(batch.questions));
    if (batch.generated_tokens > 0)
      decode.push_back(1000 * batch.decode_seconds / static_cast<double>(batch.generated_tokens));
    questions += batch.questions;
    generated += batch.generated_tokens;
  }
  const auto source = static_cast<double>(std::max<int64_t>(1, cost.source_tokens));
  return {{"compress_milliseconds_per_context", spread_of(compress)},
          {"prefill_milliseconds_per_question", spread_of(prefill)},
          {"decode_milliseconds_per_token", spread_of(decode)},
          {"generated_tokens_per_question",
           static_cast<double>(generated) / static_cast<double>(std::max<int64_t>(1, questions))},
          {"entries_per_source_token", static_cast<double>(cost.entries) / source},
          {"bytes_per_source_token", static_cast<double>(cost.bytes) / source}};
}

double median(const Json& cost, const char* key) {
  return cost.at(key).is_null() ? 0 : cost.at(key).at("median").get<double>();
}

Json differences_json(const Report& report) {
  Json out = Json::array();
  for (size_t i = 0; i < report.rows.size(); ++i) {
    for (size_t j = i + 1; j < report.rows.size(); ++j) {
      const ReportRow &a = report.rows[i], &b = report.rows[j];
      if (a.kind != RowKind::memory || b.kind != RowKind::memory) continue;
      for (const auto& scores : a.tasks) {
        const TaskScores* other = find_task(b, scores.task);
        if (other == nullptr) continue;
        const Measure &x = scores.measures.front(), &y = other->measures.front();
        const Interval interval = bootstrap_difference(x, y, scores.groups, report.bootstrap_samples);
        out.push_back({{"row", a.name},
                       {"against", b.name},
                       {"task", scores.task},
                       {"measure", x.name},
                       {"difference", value_of(x) - value_of(y)},
                       {"low", interval.low},
                       {"high", interval.high}});
      }
    }
  }
  return out;
}

std::string number(const Json& value, int digits) { return value.is_null() ? "" : fixed(value.get<double>(), digits); }
std::string with_spread(const Json& value, int digits) {
  if (value.is_null()) return "";
  return cat(number(value["median"], digits), " (", number(value["low_quartile"], digits), "–",
             number(value["high_quartile"], digits), ")");
}

std::string text_of(const Json& row, const char* key) { return row.at(key).get<std::string>(); }

std::string in_brackets(const Json& score) {
  return cat("[", number(score["low"], 1), ", ", number(score["high"], 1), "]");
}

std::string task_table(const Json& report, const std::string& task) {
  std::vector<std::string> head = {"row", "prompt"};
  std::vector<std::vector<std::string>> rows;
  for (const Json& row : report.at("rows")) {
    if (!row["tasks"].contains(task)) continue;
    std::vector<std::string> cells = {text_of(row, "name"), text_of(row, "prompt")};
    for (const auto& [name, score] : row["tasks"][task]["measures"].items()) {
      if (rows.empty()) head.insert(head.end(), {name + " [95 %]", "share of the gap %"});
      cells.push_back(cat(number(score["value"], 1), " ", in_brackets(score)));
      cells.push_back(score.contains("share_of_gap_percent") ? number(score["share_of_gap_percent"], 0) : "");
    }
    rows.push_back(std::move(cells));
  }
  MarkdownTable table(std::move(head));
  for (auto& row : rows) table.add(std::move(row));
  return cat("\n## ", task, "\n", table.text());
}

std::string cost_table(const Json& report) {
  MarkdownTable table({"row", "entries / token", "bytes / token", "compress ms / context", "prefill ms / question",
                       "decode ms / token", "break-even questions", "break-even tokens", "peak MB"});
  for (const Json& row : report.at("rows")) {
    if (!row.contains("cost")) continue;
    const Json& c = row["cost"];
    const auto break_even_of = [&](const char* key) {
      return !c.contains(key) ? std::string() : c[key].is_null() ? "never" : number(c[key], 0);
    };
    table.add({text_of(row, "name"), number(c["entries_per_source_token"], 3), number(c["bytes_per_source_token"], 0),
               with_spread(c["compress_milliseconds_per_context"], 1),
               with_spread(c["prefill_milliseconds_per_question"], 1),
               with_spread(c["decode_milliseconds_per_token"], 2), break_even_of("break_even_questions"),
               break_even_of("break_even_tokens"), number(row["peak_mb"], 0)});
  }
  if (table.empty()) return "";
  return cat(
      "\n## Cost\nMedian (quartiles) over batches. Break-even: questions and generated tokens after which compressing "
      "a "
      "context costs less than reading it in full.\n\n",
      table.text());
}

std::string difference_table(const Json& report) {
  MarkdownTable table({"row", "against", "measure", "difference [95 %]"});
  for (const Json& d : report.at("differences")) {
    table.add({text_of(d, "row"), text_of(d, "against"), cat(text_of(d, "task"), " ", text_of(d, "measure")),
               cat(number(d["difference"], 1), " ", in_brackets(d))});
  }
  return table.empty() ? "" : cat("\n## Differences\nPaired over the same contexts.\n\n", table.text());
}

std::string failure_table(const Json& report) {
  MarkdownTable table({"row", "task", "reason"});
  for (const Json& row : report.at("rows")) {
    if (!row.contains("failures")) continue;
    for (const auto& [task, reason] : row["failures"].items()) table.add({text_of(row, "name"), task, reason});
  }
  return table.empty() ? "" : "\n## Failed\n" + table.text();
}

std::string curve_table(const Json& report) {
  MarkdownTable table({"row", "step", "train seconds", "EM %", "F1 %", ""});
  for (const Json& row : report.at("rows")) {
    for (const Json& point : row["learning_curve"]) {
      if (!point.contains("em_percent")) continue;  // other tasks' scores are in metrics.jsonl only
      const double em = point.value("em_percent", 0.0);
      table.add({text_of(row, "name"), cat(point.value("step", 0)), fixed(point.value("train_seconds", 0.0), 0),
                 fixed(em, 1), fixed(point.value("f1_percent", 0.0), 1),
                 std::string(static_cast<size_t>(em / 2), '#')});
    }
  }
  if (table.empty()) return "";
  return "\n## Learning curves\nEvaluations during training; seconds exclude evaluations.\n\n" + table.text();
}

}  // namespace

BreakEven break_even(const Json& cost, const Json& full) {
  const auto saved_by = [&](const char* key) { return median(full, key) - median(cost, key); };
  const double compress = median(cost, "compress_milliseconds_per_context"),
               prefill = saved_by("prefill_milliseconds_per_question"),
               decode = saved_by("decode_milliseconds_per_token"),
               per_question = prefill + decode * cost.at("generated_tokens_per_question").get<double>(),
               left = compress - prefill;
  return {per_question > 0 ? Json(std::ceil(compress / per_question)) : Json(nullptr),
          left <= 0    ? Json(0)
          : decode > 0 ? Json(std::ceil(left / decode))
                       : Json(nullptr)};
}

Json report_json(const Report& report) {
  Json rows = Json::array(), full_cost;
  for (const auto& row : report.rows) {
    const TaskScores* qa = find_task(row, "qa");
    if (row.name == "full" && qa != nullptr) full_cost = cost_json(qa->cost);
  }
  for (const auto& row : report.rows) {
    Json tasks = Json::object();
    for (const auto& scores : row.tasks) tasks[scores.task] = task_json(report, scores);
    Json out = {{"name", row.name},
                {"method", row.method},
                {"ratio", row.ratio},
                {"kind", row.kind == RowKind::memory ? "memory" : "text"},
                {"prompt", row.prompt},
                {"tasks", tasks},
                {"peak_mb", static_cast<double>(row.peak_bytes) / (1 << 20)}};
    if (const TaskScores* qa = find_task(row, "qa")) {
      for (const auto& measure : qa->measures) out[measure.name] = value_of(measure);
      out["cost"] = cost_json(qa->cost);
      if (row.kind == RowKind::memory && !full_cost.is_null()) {
        const BreakEven point = break_even(out["cost"], full_cost);
        out["cost"]["break_even_questions"] = point.questions;
        out["cost"]["break_even_tokens"] = point.tokens;
      }
    }
    if (!row.failures.empty()) out["failures"] = row.failures;
    out["learning_curve"] = row.curve;
    rows.push_back(std::move(out));
  }
  return {{"environment", report.environment},
          {"questions", report.questions.size()},
          {"bootstrap_samples", report.bootstrap_samples},
          {"rows", rows},
          {"differences", differences_json(report)}};
}

std::string report_markdown(const Json& report) {
  std::vector<std::string> tasks;
  for (const Json& row : report.at("rows")) {
    for (const auto& [task, scores] : row["tasks"].items()) {
      if (std::find(tasks.begin(), tasks.end(), task) == tasks.end()) tasks.push_back(task);
    }
  }
  std::string text;
  for (const auto& task : tasks) text += task_table(report, task);
  return text + failure_table(report) + cost_table(report) + difference_table(report) + curve_table(report);
}

void write_report(const fs::path& folder, const Report& report) {
  make_folder(folder / "predictions");
  for (const auto& row : report.rows) {
    for (const auto& scores : row.tasks) {
      Json predictions = Json::object();
      for (size_t i = 0; i < scores.texts.size(); ++i) {
        std::string id = scores.ids[i];  // real data sets repeat ids: "7", "7~2"
        for (int copy = 2; predictions.contains(id); ++copy) id = cat(scores.ids[i], "~", copy);
        predictions[id] = scores.texts[i];
      }
      if (!scores.texts.empty())
        write_json(folder / "predictions" / cat(row.name, scores.task == "qa" ? "" : "." + scores.task, ".json"),
                   predictions);
    }
  }
  const Json json = report_json(report);
  write_json(folder / "report.json", json);
  write_file_atomically(folder / "report.md", cat("# Evaluation on ", report.questions.size(), " questions\n",
                                                  report.environment.dump(), "\n", report_markdown(json)));
}

}  // namespace precis

#include <algorithm>
#include <cmath>
#include <set>

#include "precis/core/file.h"
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

// The value of a row's measure, where that row and that measure are there.
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

// The first batch warms up, where there are others.
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
      if (a.prompt != "memory + query" || b.prompt != "memory + query") continue;
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

std::string task_table(const Json& report, const std::string& task) {
  std::string head = "| row | prompt |", line = "|---|---|", body;
  bool is_first = true;
  for (const Json& row : report.at("rows")) {
    if (!row["tasks"].contains(task)) continue;
    body += cat("| ", row["name"].get<std::string>(), " | ", row["prompt"].get<std::string>(), " |");
    for (const auto& [name, score] : row["tasks"][task]["measures"].items()) {
      if (is_first) {
        head += cat(" ", name, " [95 %] | share of the gap % |");
        line += "---|---|";
      }
      body += cat(" ", number(score["value"], 1), " [", number(score["low"], 1), ", ", number(score["high"], 1), "] | ",
                  score.contains("share_of_gap_percent") ? number(score["share_of_gap_percent"], 0) : "", " |");
    }
    body += "\n";
    is_first = false;
  }
  return cat("\n## ", task, "\n", head, "\n", line, "\n", body);
}

std::string cost_table(const Json& report) {
  std::string text =
      "\n## Cost\nMedian (quartiles) over batches; questions and generated tokens after which compressing a context "
      "has "
      "cost less than reading it in full.\n\n| row | entries / token | bytes / token | compress ms / context | prefill "
      "ms / question | decode ms / token | pays after questions | pays after tokens | peak MB |\n"
      "|---|---|---|---|---|---|---|---|---|\n";
  bool any = false;
  for (const Json& row : report.at("rows")) {
    if (!row.contains("cost")) continue;
    any = true;
    const Json& c = row["cost"];
    const auto pays = [&](const char* key) {
      return !c.contains(key) ? std::string() : c[key].is_null() ? "never" : number(c[key], 0);
    };
    text += cat("| ", row["name"].get<std::string>(), " | ", number(c["entries_per_source_token"], 3), " | ",
                number(c["bytes_per_source_token"], 0), " | ", with_spread(c["compress_milliseconds_per_context"], 1),
                " | ", with_spread(c["prefill_milliseconds_per_question"], 1), " | ",
                with_spread(c["decode_milliseconds_per_token"], 2), " | ", pays("break_even_questions"), " | ",
                pays("break_even_tokens"), " | ", number(row["peak_mb"], 0), " |\n");
  }
  return any ? text : "";
}

std::string difference_table(const Json& report) {
  if (report.at("differences").empty()) return "";
  std::string text =
      "\n## Differences\nPaired over the same contexts.\n\n| row | against | measure | difference [95 %] "
      "|\n|---|---|---|---|\n";
  for (const Json& d : report["differences"]) {
    text += cat("| ", d["row"].get<std::string>(), " | ", d["against"].get<std::string>(), " | ",
                d["task"].get<std::string>(), " ", d["measure"].get<std::string>(), " | ", number(d["difference"], 1),
                " [", number(d["low"], 1), ", ", number(d["high"], 1), "] |\n");
  }
  return text;
}

std::string curve_table(const Json& report) {
  std::string text;
  for (const Json& row : report.at("rows")) {
    for (const Json& point : row["learning_curve"]) {
      if (!point.contains("em_percent")) continue;  // asked other tasks: they are in metrics.jsonl
      text += cat("| ", row["name"].get<std::string>(), " | ", point.value("step", 0), " | ",
                  fixed(point.value("train_seconds", 0.0), 0), " | ", fixed(point.value("em_percent", 0.0), 1), " | ",
                  fixed(point.value("f1_percent", 0.0), 1), " | ",
                  std::string(static_cast<size_t>(point.value("em_percent", 0.0) / 2), '#'), " |\n");
    }
  }
  if (text.empty()) return "";
  return "\n## Learning curves\nEvaluations during training; time without the evaluations' own.\n\n| row | step | "
         "train seconds | EM % | F1 % | |\n|---|---|---|---|---|---|\n" +
         text;
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
    Json out = {{"name", row.name},   {"method", row.method},
                {"ratio", row.ratio}, {"prompt", row.prompt},
                {"tasks", tasks},     {"peak_mb", static_cast<double>(row.peak_bytes) / (1 << 20)}};
    if (const TaskScores* qa = find_task(row, "qa")) {
      for (const auto& measure : qa->measures) out[measure.name] = value_of(measure);
      out["cost"] = cost_json(qa->cost);
      if (row.prompt == "memory + query" && !full_cost.is_null()) {
        const BreakEven pays = break_even(out["cost"], full_cost);
        out["cost"]["break_even_questions"] = pays.questions;
        out["cost"]["break_even_tokens"] = pays.tokens;
      }
    }
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
  return text + cost_table(report) + difference_table(report) + curve_table(report);
}

void write_report(const fs::path& folder, const Report& report) {
  make_folder(folder / "predictions");
  for (const auto& row : report.rows) {
    for (const auto& scores : row.tasks) {
      Json predictions = Json::object();
      for (size_t i = 0; i < scores.texts.size(); ++i) {
        std::string id = scores.ids[i];  // real sets repeat ids: "7", "7~2"
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

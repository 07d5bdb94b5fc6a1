#include <algorithm>
#include <cmath>
#include <set>

#include "precis/core/file.h"
#include "precis/core/strings.h"
#include "precis/eval/evaluator.h"
#include "precis/eval/predictions.h"
#include "precis/eval/report_tables.h"
#include "report_sets.h"

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
  Json out = {{"items", scores.groups.size()},
              {"contexts", std::set<int64_t>(scores.groups.begin(), scores.groups.end()).size()},
              {"measures", measures}};
  if (const Json sets = scores_by_set(scores, report.bootstrap_samples); !sets.is_null()) {
    out["sets"] = sets;
    out["means"] = means_over_sets(sets, report.in_domain);
  }
  if (const Json map = heat_map(scores, report.questions); !map.is_null()) out["heat_map"] = map;
  return out;
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

std::string report_markdown(const Json& report) { return markdown_of(report_tables(report)); }

void write_report(const fs::path& folder, const Report& report) {
  make_folder(folder / "predictions");
  make_folder(folder / "items");
  for (const auto& row : report.rows) {
    for (const auto& scores : row.tasks) {
      Json predictions = Json::object();
      PredictionIds ids;
      for (size_t i = 0; i < scores.texts.size(); ++i) predictions[ids.next(scores.ids[i])] = scores.texts[i];
      if (!scores.texts.empty())
        write_json(folder / "predictions" / cat(row.name, scores.task == "qa" ? "" : "." + scores.task, ".json"),
                   predictions);
      write_file_atomically(folder / "items" / cat(row.name, ".", scores.task, ".json"),
                            items_json(scores).dump() + "\n");
    }
  }
  const Json json = report_json(report);
  write_json(folder / "report.json", json);
  write_file_atomically(folder / "report.md", cat("# Evaluation on ", report.questions.size(), " questions\n",
                                                  report.environment.dump(), "\n", report_markdown(json)));
  write_file_atomically(folder / "report.tex", latex_of(report_tables(json)));
  write_file_atomically(folder / "report.csv", report_csv(json));
}

}  // namespace precis

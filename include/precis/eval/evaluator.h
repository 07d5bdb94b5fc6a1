// The evaluator: all selected compressors and references on the same questions, in one report.
#pragma once

#include <filesystem>
#include <functional>
#include <map>
#include <optional>

#include "precis/core/json.h"
#include "precis/eval/tasks.h"

namespace precis {

// What the decoder reads in a row of the report: a memory, or the text itself (all, part or none of it).
enum class RowKind { memory, text };

struct ReportRow {
  std::string name;    // "pic-4", unique in the report; also the predictions file's name
  std::string method;  // or the reference
  int64_t ratio = 0;   // 0: no compression
  RowKind kind = RowKind::memory;
  std::string prompt;  // the name of the prompt
  std::vector<TaskScores> tasks;
  std::map<std::string, std::string> failures;  // reason by task
  int64_t peak_bytes = 0;                       // peak memory (on a GPU: its own) during this row, base model included
  Json curve = Json::array();                   // evaluations during training, from the run's metrics.jsonl
};

struct Report {
  std::vector<ReportRow> rows;
  std::vector<AskedQuestion> questions;
  std::vector<Passage> passages;       // owns what `questions` points to
  std::vector<std::string> in_domain;  // names of data sets
  int64_t bootstrap_samples = 1000;
  Json environment;
};

// Evaluates config.eval.compressors and config.eval.references on config.data.eval in config.eval.tasks. A row that
// fails at a task, or whose score is not a number, keeps the reason; the other rows go on. `on_row` is called with the
// report so far after every row.
Report evaluate(const Config& config, const CompressorRegistry& registry, std::shared_ptr<const Decoder> decoder,
                const Tokenizer& tokenizer, const std::function<void(const Report&)>& on_row = {});

// Runs f. Returns the reason if it throws, for work that may fail alone; an interruption is thrown on.
std::optional<std::string> failure_of(const std::function<void()>& f);

// The number of questions per context, or of generated tokens per answer, after which compressing costs less than
// reading the full context. Computed from the median costs of two report rows; null: never.
struct BreakEven {
  Json questions, tokens;
};
BreakEven break_even(const Json& cost, const Json& full_cost);

// Scores with their intervals, and the share of the gap between `none` and `full` that each row closes; cost with its
// break-even points; paired differences between all compressor rows.
Json report_json(const Report& report);

// The same as Markdown tables; a function of the JSON alone.
std::string report_markdown(const Json& report);

// Writes report.json, report.md, report.tex, report.csv and predictions/<name>.json to `folder`; answers of tasks other
// than qa go to predictions/<name>.<task>.json. items/<name>.<task>.json has each item's scores, for comparisons.
void write_report(const std::filesystem::path& folder, const Report& report);

}  // namespace precis

// The evaluator: every asked compressor and every reference on the same questions, one report.
#pragma once

#include <filesystem>

#include "precis/core/json.h"
#include "precis/eval/tasks.h"

namespace precis {

struct ReportRow {
  std::string name;    // "pic-4", unique in the report; also the predictions file's name
  std::string method;  // or the reference
  int64_t ratio = 0;   // 0: no compression
  std::string prompt;  // which prompt was used
  std::vector<TaskScores> tasks;
  int64_t peak_bytes = 0;      // memory (a GPU's there) while this row was made, base model included
  Json curve = Json::array();  // evaluations during training, from the run's metrics.jsonl
};

struct Report {
  std::vector<ReportRow> rows;
  std::vector<AskedQuestion> questions;
  std::vector<Passage> passages;  // keeps what `questions` points to
  int64_t bootstrap_samples = 1000;
  Json environment;
};

// Evaluates config.eval.compressors and config.eval.references on config.data.eval in config.eval.tasks.
Report evaluate(const Config& config, const CompressorRegistry& registry, std::shared_ptr<const Decoder> decoder,
                const Tokenizer& tokenizer);

// When a compressed context has cost less than the full one, by the medians of two rows' costs as a report holds them:
// after so many questions to one context, or generated tokens of one answer; null where never.
struct BreakEven {
  Json questions, tokens;
};
BreakEven break_even(const Json& cost, const Json& full_cost);

// Scores with their intervals and the share of the gap between `none` and `full` that each row closes; cost, with the
// number of questions (or generated tokens) a context after which compressing pays; paired differences of all rows of
// compressors.
Json report_json(const Report& report);

// The same as tables; a function of the JSON alone.
std::string report_markdown(const Json& report);

// report.json, report.md and predictions/<name>.json in `folder`; answers to other tasks than qa in
// predictions/<name>.<task>.json.
void write_report(const std::filesystem::path& folder, const Report& report);

}  // namespace precis

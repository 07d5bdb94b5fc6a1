// The evaluator: every asked compressor and every reference on the same questions, one report.
#pragma once

#include <filesystem>

#include "precis/compress/compressor.h"
#include "precis/core/json.h"
#include "precis/eval/answer.h"

namespace precis {

struct ReportRow {
  std::string name;    // "pic-4", unique in the report; also the predictions file's name
  std::string method;  // or the reference
  int64_t ratio = 0;   // 0: no compression
  std::string prompt;  // which prompt was used
  QaScore score;
  AnswerCost cost;
  std::vector<std::string> answers;
  Json curve = Json::array();  // evaluations during training, from the run's metrics.jsonl
};

struct Report {
  std::vector<ReportRow> rows;
  std::vector<AskedQuestion> questions;
  std::vector<Passage> passages;  // keeps what `questions` points to
  Json environment;
};

// Evaluates config.eval.compressors and config.eval.references on config.data.eval.
Report evaluate(const Config& config, const CompressorRegistry& registry, std::shared_ptr<const Decoder> decoder,
                const Tokenizer& tokenizer);

Json report_json(const Report& report);
std::string report_markdown(const Report& report);

// report.json, report.md and predictions/<name>.json in `folder`.
void write_report(const std::filesystem::path& folder, const Report& report);

}  // namespace precis

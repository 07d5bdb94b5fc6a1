#include "precis/core/file.h"
#include "precis/core/strings.h"
#include "precis/eval/evaluator.h"

namespace precis {
namespace fs = std::filesystem;
namespace {

double per_question_ms(double seconds, const ReportRow& row) {
  return 1000 * seconds / static_cast<double>(row.score.questions);
}

// All answers of a batch are decoded together: the time of a batch over the tokens of all of them.
double decode_ms(const ReportRow& row) {
  return 1000 * row.cost.decode_seconds / static_cast<double>(std::max<int64_t>(1, row.cost.generated_tokens));
}

std::string curve_table(const Report& report) {
  std::string text;
  for (const auto& row : report.rows) {
    for (const Json& point : row.curve) {
      text += cat("| ", row.name, " | ", point.value("step", 0), " | ", fixed(point.value("train_seconds", 0.0), 0),
                  " | ", fixed(point.value("em_percent", 0.0), 1), " | ", fixed(point.value("f1_percent", 0.0), 1),
                  " | ", std::string(static_cast<size_t>(point.value("em_percent", 0.0) / 2), '#'), " |\n");
    }
  }
  if (text.empty()) return "";
  return "\n## Learning curves\nEvaluations during training; time without the evaluations' own.\n\n| row | step | "
         "train seconds | EM % | F1 % | |\n|---|---|---|---|---|---|\n" +
         text;
}

}  // namespace

Json report_json(const Report& report) {
  Json rows = Json::array();
  for (const auto& row : report.rows) {
    const auto source = static_cast<double>(std::max<int64_t>(1, row.cost.source_tokens));
    rows.push_back({{"name", row.name},
                    {"method", row.method},
                    {"ratio", row.ratio},
                    {"prompt", row.prompt},
                    {"questions", row.score.questions},
                    {"em_percent", row.score.em},
                    {"f1_percent", row.score.f1},
                    {"em_standard_error", row.score.em_standard_error},
                    {"entries_per_source_token", static_cast<double>(row.cost.entries) / source},
                    {"bytes_per_source_token", static_cast<double>(row.cost.bytes) / source},
                    {"compress_milliseconds_per_question", per_question_ms(row.cost.compress_seconds, row)},
                    {"prefill_milliseconds_per_question", per_question_ms(row.cost.prefill_seconds, row)},
                    {"decode_milliseconds_per_token", decode_ms(row)},
                    {"generated_tokens", row.cost.generated_tokens},
                    {"learning_curve", row.curve}});
  }
  return {{"environment", report.environment}, {"rows", rows}};
}

std::string report_markdown(const Report& report) {
  std::string text =
      "| row | prompt | EM % | F1 % | ± EM | entries / token | bytes / token | compress ms | prefill ms "
      "| decode ms / token |\n|---|---|---|---|---|---|---|---|---|---|\n";
  for (const auto& row : report.rows) {
    const auto source = static_cast<double>(std::max<int64_t>(1, row.cost.source_tokens));
    text += cat("| ", row.name, " | ", row.prompt, " | ", fixed(row.score.em, 1), " | ", fixed(row.score.f1, 1), " | ",
                fixed(row.score.em_standard_error, 1), " | ", fixed(static_cast<double>(row.cost.entries) / source, 3),
                " | ", fixed(static_cast<double>(row.cost.bytes) / source, 0), " | ",
                fixed(per_question_ms(row.cost.compress_seconds, row), 1), " | ",
                fixed(per_question_ms(row.cost.prefill_seconds, row), 1), " | ", fixed(decode_ms(row), 2), " |\n");
  }
  return text;
}

void write_report(const fs::path& folder, const Report& report) {
  make_folder(folder / "predictions");
  for (const auto& row : report.rows) {
    Json predictions = Json::object();
    for (size_t i = 0; i < row.answers.size(); ++i) {
      std::string id = report.questions[i].question->id;  // real sets repeat ids: "7", "7~2"
      for (int copy = 2; predictions.contains(id); ++copy) id = cat(report.questions[i].question->id, "~", copy);
      predictions[id] = row.answers[i];
    }
    write_json(folder / "predictions" / (row.name + ".json"), predictions);
  }
  write_json(folder / "report.json", report_json(report));
  const int64_t questions = report.rows.empty() ? 0 : report.rows.front().score.questions;
  write_file_atomically(folder / "report.md",
                        cat("# Evaluation on ", questions, " questions\n", report.environment.dump(), "\n\n",
                            report_markdown(report), curve_table(report)));
}

}  // namespace precis

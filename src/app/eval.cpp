#include <algorithm>
#include <cstdio>

#include "commands.h"
#include "precis/config/schema.h"
#include "precis/core/error.h"
#include "precis/core/file.h"
#include "precis/core/strings.h"
#include "precis/eval/evaluator.h"
#include "precis/text/tokenizer.h"

namespace precis {

void run_eval(const Config& config, const CompressorRegistry& registry, bool json) {
  require_set(config, {"model.path", "data.eval", "run.dir"});
  if (config.eval.compressors.empty() && config.eval.memories.empty() && config.eval.references.empty()) {
    throw Error({.what = "nothing to evaluate",
                 .where = "eval.compressors",
                 .expected = "at least one compressor, folder of memories or reference"});
  }
  make_folder(config.run.dir);
  const FolderLock lock(config.run.dir);
  const Workspace workspace = open_workspace(config);
  const Report report = evaluate(config, registry, workspace.decoder, *workspace.tokenizer,
                                 [&](const Report& so_far) { write_report(config.run.dir, so_far); });
  const Json whole = report_json(report);
  if (json) {
    for (const Json& row : whole.at("rows")) std::printf("%s\n", row.dump().c_str());
  } else {
    std::fputs(report_markdown(whole).c_str(), stdout);
  }
  const auto failed =
      std::count_if(report.rows.begin(), report.rows.end(), [](const ReportRow& row) { return !row.failures.empty(); });
  if (failed > 0) {
    throw Error({.what = cat(failed, " of ", report.rows.size(), " rows failed"),
                 .where = (std::filesystem::path(config.run.dir) / "report.md").string(),
                 .hint = "the report has their reasons"},
                Error::Kind::failed_check);
  }
  const double em = whole.at("rows").at(0).value("em_percent", 0.0);
  if (em < config.eval.target_em) {
    throw Error({.what = "the score is below its target",
                 .where = report.rows.front().name,
                 .expected = cat("at least ", config.eval.target_em, " EM"),
                 .found = fixed(em, 2)},
                Error::Kind::failed_check);
  }
}

}  // namespace precis

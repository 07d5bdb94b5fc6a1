#include <cstdio>

#include "commands.h"
#include "precis/config/schema.h"
#include "precis/core/error.h"
#include "precis/core/file.h"
#include "precis/core/interrupt.h"
#include "precis/core/log.h"
#include "precis/core/process.h"
#include "precis/core/progress.h"
#include "precis/core/strings.h"
#include "precis/eval/bench.h"
#include "precis/text/tokenizer.h"

namespace precis {

namespace {

std::string file_name(const BenchTask& t) {
  return cat(t.job, "-", t.method, "-", t.batch, "x", t.context, "-", t.ratio, "x-", t.dtype, ".json");
}

}  // namespace

void run_bench(const Config& config, const std::string& trace, const CompressorRegistry& registry) {
  require_set(config, {"model.path"});
  const std::vector<BenchTask> tasks = bench_tasks(config, registry);
  if (!trace.empty()) make_folder(trace);
  const InterruptGuard stops_between_measurements;
  Progress progress("bench", static_cast<double>(tasks.size()), "measurements");
  for (size_t i = 0; i < tasks.size(); ++i) {
    if (interrupted()) throw Error({.what = "interrupted"}, Error::Kind::interrupted);
    std::vector<std::string> arguments = {"--quiet",
                                          "bench",
                                          "--task",
                                          to_json(tasks[i]).dump(),
                                          cat("model.path=", config.model.path),
                                          cat("model.dtype=", tasks[i].dtype),
                                          cat("model.decode_dtype=", config.model.decode_dtype),
                                          cat("model.device=", config.model.device),
                                          cat("run.deterministic=", config.run.deterministic ? "true" : "false"),
                                          cat("run.threads=", config.run.threads)};
    if (!trace.empty())
      arguments.insert(arguments.end(), {"--trace", (std::filesystem::path(trace) / file_name(tasks[i])).string()});
    const ChildResult child = run_this_program(arguments);
    if (child.exit_code == 0) {
      std::fputs(child.output.c_str(), stdout);
    } else {  // a failed measurement does not stop the others
      Json line = to_json(tasks[i]);
      line["error"] = cat("exit code ", child.exit_code);
      std::printf("%s\n", line.dump().c_str());
    }
    std::fflush(stdout);
    progress.update(static_cast<double>(i + 1));
  }
}

void run_bench_here(const Config& config, const std::string& task, const std::string& trace,
                    const CompressorRegistry& registry) {
  const BenchTask one = bench_task_from_json(parse_json(task, "bench --task"));
  const Workspace workspace = open_workspace(config);
  std::printf("%s\n", run_bench_task(one, workspace.decoder, registry, trace).dump().c_str());
}

}  // namespace precis

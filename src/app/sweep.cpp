#include <cstdio>

#include "commands.h"
#include "precis/core/error.h"
#include "precis/core/file.h"
#include "precis/core/strings.h"
#include "precis/sweep/sweep.h"

namespace precis {

void run_sweep_command(const std::vector<ConfigLayer>& layers, bool list, bool json,
                       const CompressorRegistry& registry) {
  if (list) {
    for (const Json& row : sweep_plan(layers, registry.methods())) {
      if (json) {
        std::printf("%s\n", row.dump().c_str());
        continue;
      }
      std::string seconds;
      for (const char* key : {"seconds", "estimated_seconds", "planned_training_seconds"}) {
        if (row.contains(key))
          seconds = cat(fixed(row[key].get<double>(), 0), " s",
                        key[0] == 's'   ? ""
                        : key[0] == 'e' ? " (estimated)"
                                        : " of training (planned)");
      }
      const std::string error = row.value("error", "");
      std::printf("%-40s %-6s %s%s\n", row["cell"].get<std::string>().c_str(), row["state"].get<std::string>().c_str(),
                  seconds.c_str(), error.empty() ? "" : cat("; ", split(error, '\n').front()).c_str());
    }
    return;
  }
  const Config config = resolve_config(layers, registry.methods());
  require_set(config, {"run.dir"});
  set_up_libtorch(config);
  const SweepOutcome outcome = run_sweep(layers, registry);
  if (json) {
    std::printf("%s\n", Json{{"sweep", config.run.dir},
                             {"cells", outcome.cells},
                             {"done_before", outcome.done_before},
                             {"done_now", outcome.done_now},
                             {"failed", outcome.failed}}
                            .dump()
                            .c_str());
  } else {
    std::fputs(sweep_markdown(read_sweep_results(config.run.dir), config.sweep.baseline, config.sweep.score).c_str(),
               stdout);
  }
  if (outcome.failed > 0) {
    throw Error({.what = cat(outcome.failed, " of ", outcome.cells, " cells failed"),
                 .where = config.run.dir + "/failures.jsonl",
                 .hint = "fix the errors listed there and run the same command again; finished cells are kept"},
                Error::Kind::failed_check);
  }
}

}  // namespace precis

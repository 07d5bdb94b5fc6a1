#include "command_line.h"

namespace precis {
namespace {

void add_eval(CommandLine& line) {
  line.add_configured("eval", "evaluate compressors and references on the same questions; write a report",
                      [&line](const Config& c) { run_eval(c, line.registry(), line.json()); });
}

void add_sweep(CommandLine& line) {
  auto list = std::make_shared<bool>(false);
  CLI::App& command = line.add_configured(
      "sweep", "train and evaluate a grid of methods, ratios, seeds and data; resumes an interrupted sweep",
      [&line, list](const Config&) { run_sweep_command(line.layers(), *list, line.json(), line.registry()); });
  command.add_flag("--list", *list, "print the plan with time estimates and exit");
}

struct BenchCommand {
  std::string task, trace;
};

void add_bench(CommandLine& line) {
  auto b = std::make_shared<BenchCommand>();
  CLI::App& command = line.add_configured("bench", "measure speed and memory, each measurement in a separate process",
                                          [&line, b](const Config& c) {
                                            b->task.empty() ? run_bench(c, b->trace, line.registry())
                                                            : run_bench_here(c, b->task, b->trace, line.registry());
                                          });
  command.add_option("--task", b->task, "run one measurement in this process (JSON)");
  command.add_option("--trace", b->trace,
                     "folder for a timeline of each measurement (Chrome's trace format); with --task, a file");
}

struct ScoreCommand {
  std::string dataset, predictions;
};

void add_score(CommandLine& line) {
  auto c = std::make_shared<ScoreCommand>();
  CLI::App& command = line.add("score", "compute exact match and F1 of a predictions file",
                               [c] { run_score(c->dataset, c->predictions); });
  command.add_option("dataset", c->dataset, "SQuAD JSON or MRQA jsonl(.gz)")->required();
  command.add_option("predictions", c->predictions, "JSON: question id to text")->required();
}

}  // namespace

void add_comparing_commands(CommandLine& line) {
  add_eval(line);
  add_sweep(line);
  add_bench(line);
  add_score(line);
}

}  // namespace precis

#include "command_line.h"
#include "precis/eval/answer_metrics.h"

namespace precis {
namespace {

void add_eval(CommandLine& line) {
  auto memories = std::make_shared<std::vector<std::string>>();
  CLI::App& command = line.add_configured(
      "eval", "evaluate compressors, stored memories and references on the same questions; write a report",
      [&line, memories](Config c) {
        c.eval.memories.insert(c.eval.memories.end(), memories->begin(), memories->end());
        run_eval(c, line.registry(), line.json());
      });
  add_words(command, "--memories", *memories, "folders of memory files to evaluate, besides those of eval.memories");
}

struct SweepOptions {
  std::vector<std::string> methods, ratios, seeds;
  bool list = false;
};

// The configuration's layers, with the options in place of its grid. A method is one of the grid's, or any by its name.
std::vector<ConfigLayer> sweep_layers(const CommandLine& line, const SweepOptions& o) {
  std::vector<ConfigLayer> layers = line.layers();
  Json chosen = Json::object();
  if (!o.methods.empty()) {
    const Json grid = to_json(resolve_config(layers, line.registry().methods())).at("sweep").at("methods");
    for (const auto& name : o.methods) {
      Json method = {{"name", name}, {"set", {"compressor.method=" + name}}};
      for (const Json& known : grid) {
        if (known.at("name") == name) method = known;
      }
      chosen["methods"].push_back(method);
    }
  }
  if (!o.ratios.empty()) chosen["ratios"] = join(o.ratios, ",");
  if (!o.seeds.empty()) chosen["seeds"] = join(o.seeds, ",");
  if (!chosen.empty()) layers.push_back({"command line", {{"sweep", chosen}}});
  return layers;
}

void add_sweep(CommandLine& line) {
  auto o = std::make_shared<SweepOptions>();
  CLI::App& command = line.add_configured(
      "sweep", "train and evaluate a grid of methods, ratios, seeds and data; resumes an interrupted sweep",
      [&line, o](const Config&) { run_sweep_command(sweep_layers(line, *o), o->list, line.json(), line.registry()); });
  command.add_flag("--list", o->list, "print the plan with time estimates and exit");
  command.add_option("--methods", o->methods, "methods of the grid by name, or any others, such as pic,icae")
      ->delimiter(',');
  command.add_option("--ratios", o->ratios, "ratios in place of the grid's, such as 4,16")->delimiter(',');
  command.add_option("--seeds", o->seeds, "seeds in place of the grid's, such as 1,2,3")->delimiter(',');
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

void add_score(CommandLine& line) {
  auto c = std::make_shared<ScoreCommand>();
  CLI::App& command =
      line.add("score", "compute scores of a predictions file: exact match and F1, or those of --metric",
               [&line, c] { run_score(*c, line.config().data); });
  command.add_option("dataset", c->dataset, "data set, as for data.eval")->required();
  command.add_option("predictions", c->predictions, "JSON: question id to text")->required();
  add_words(command, "--metric", c->metrics, "metrics to compute instead of exact match and F1")
      ->check(CLI::IsMember(answer_metrics()));
  command.add_flag("--json", c->json, "print the result as a JSON line, which is the default");
  line.take_configuration(command);
}

void add_compare(CommandLine& line) {
  auto c = std::make_shared<CompareCommand>();
  CLI::App& command = line.add("compare", "differences between reports over the same questions, with paired intervals",
                               [c] { run_compare(*c); });
  command.add_option("reports", c->reports, "folders of precis eval; each later one is compared with the first")
      ->required();
  command.add_option("--row", c->options.row, "row of the later reports; default: rows that the first one has too");
  command.add_option("--against", c->options.against, "row of the first report; default: the row of the same name");
  command.add_option("--task", c->options.task, "task to compare; default: all");
  command.add_option("--measure", c->options.measure, "measure to compare, such as f1_percent; default: all");
  command.add_option("--samples", c->options.samples, "bootstrap resamples of the contexts")
      ->check(CLI::Range(10, 1 << 24));
  command.add_option("--format", c->format, "markdown, latex or csv")
      ->check(CLI::IsMember({"markdown", "latex", "csv"}));
  command.add_flag("--json", c->json, "print a JSON line for each comparison");
}

}  // namespace

void add_comparing_commands(CommandLine& line) {
  add_eval(line);
  add_sweep(line);
  add_bench(line);
  add_score(line);
  add_compare(line);
}

}  // namespace precis

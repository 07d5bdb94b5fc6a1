#include <map>
#include <set>

#include "precis/core/error.h"
#include "precis/core/strings.h"
#include "precis/sweep/sweep.h"

namespace precis {
namespace {

void add_choice(std::vector<ConfigLayer>& layers, const SweepChoice& choice) {
  for (auto& layer : config_layers(choice.config, choice.set)) layers.push_back(std::move(layer));
}

void require_names(const std::vector<SweepChoice>& choices, const std::string& where) {
  std::set<std::string> names;
  for (const auto& choice : choices) {
    const bool is_plain = choice.name.find_first_not_of(
                              "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-") == std::string::npos;
    static const std::set<std::string> taken = {"references", "full", "none", "truncate", "truncate-first"};
    if (choice.name.empty() || !is_plain || taken.contains(choice.name) || choice.name.starts_with("untrained-"))
      throw Error({.what = "invalid name",
                   .where = where,
                   .expected = "letters, digits, '.', '_' and '-', and no reference's name",
                   .found = choice.name});
    if (!names.insert(choice.name).second)
      throw Error({.what = "duplicate name", .where = where, .found = choice.name});
  }
}

// All settings that a training run depends on, as text: equal for cells that can share a run.
std::string training_key(Config config) {
  const bool evaluates = config.train.eval_interval > 0 || config.train.eval_seconds > 0;
  if (!evaluates) config.data.eval.clear();
  config.eval = {};
  config.run.dir.clear();
  return to_json_absolute(config).dump();
}

// What a cell's results depend on, with paths relative to the sweep's folder.
Json settings_of(const SweepCell& cell, const std::filesystem::path& folder) {
  Config c = cell.config;
  const TrainConfig defaults;
  c.bench = {};
  c.run = {.seed = c.run.seed, .deterministic = c.run.deterministic};
  c.train.log_interval = defaults.log_interval;
  c.train.save_interval = defaults.save_interval;
  c.train.keep = defaults.keep;
  if (cell.method == "references") {  // nothing is trained
    c.train = {};
    c.data.train.clear();
    c.run.seed = RunConfig().seed;
    const int64_t segment_length = c.compressor.segment_length;
    c.compressor = compressor_defaults("mean-pool", "published", c.compressor.methods);
    c.compressor.segment_length = segment_length;
    c.compressor.ratio.values = cell.ratios;
  } else {
    c.eval.references.clear();  // they are cells of their own
  }
  return changed_settings(c, folder);
}

}  // namespace

std::vector<SweepCell> sweep_cells(const std::vector<ConfigLayer>& layers, const Methods& methods) {
  const Config base = resolve_config(layers, methods);
  const SweepConfig& grid = base.sweep;
  if (grid.methods.empty() || grid.ratios.empty() || grid.seeds.empty()) {
    throw Error({.what = "the sweep has no cells",
                 .where = "sweep",
                 .expected = "at least one entry in each of sweep.methods, sweep.ratios and sweep.seeds"});
  }
  require_names(grid.methods, "sweep.methods");
  require_names(grid.data, "sweep.data");
  std::vector<std::vector<int64_t>> ratios;
  if (grid.shared_ratios) {
    ratios = {grid.ratios};
  } else {
    for (const int64_t ratio : grid.ratios) ratios.push_back({ratio});
  }
  std::vector<SweepCell> cells;
  std::map<std::string, std::string> trainings;
  const auto add = [&](SweepCell cell, const SweepChoice* method, const SweepChoice& data) {
    std::vector<ConfigLayer> own = layers;
    if (method != nullptr) add_choice(own, *method);
    add_choice(own, data);
    cell.data = data.name;
    if (grid.data.size() > 1) cell.id += "-" + data.name;
    cell.config = resolve_config(own, methods);
    cell.config.sweep = {};
    cell.config.compressor.ratio.values = cell.ratios;
    if (method != nullptr) cell.config.run.seed = cell.seed;
    cell.training = cell.id;  // references train nothing that a method could share
    if (method != nullptr) cell.training = trainings.emplace(training_key(cell.config), cell.id).first->second;
    cell.config.run.dir = base.run.dir + "/cells/" + cell.training;
    cell.settings = settings_of(cell, base.run.dir);
    cells.push_back(std::move(cell));
  };
  const std::vector<SweepChoice> data = grid.data.empty() ? std::vector<SweepChoice>{{}} : grid.data;
  const auto shown = [](const std::vector<int64_t>& of) {
    std::vector<std::string> out;
    for (const int64_t r : of) out.push_back(cat(r));
    return join(out, "+") + "x";
  };
  for (const auto& set : data) {  // ids contain the ratios, so that added ratios get new reference cells
    if (!base.eval.references.empty())
      add({.id = "references-" + shown(grid.ratios), .method = "references", .ratios = grid.ratios}, nullptr, set);
  }
  for (const int64_t seed : grid.seeds) {
    for (const auto& set : data) {
      for (const auto& method : grid.methods) {
        for (const auto& ratio : ratios) {
          add({.id = cat(method.name, "-", shown(ratio), "-seed-", seed),
               .method = method.name,
               .ratios = ratio,
               .seed = seed},
              &method, set);
        }
      }
    }
  }
  return cells;
}

}  // namespace precis

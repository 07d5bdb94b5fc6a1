// The grid of methods, ratios, seeds and data (docs/architecture.md): each cell is trained and evaluated once, whatever
// stops the program in between and however many processes share the folder.
#pragma once

#include <filesystem>

#include "precis/compress/compressor.h"
#include "precis/config/schema.h"

namespace precis {

// One piece of work: a training with its evaluation, or the references of a data set.
struct SweepCell {
  std::string id;      // "pic-16x-seed-1", with the data set's name where there are several
  std::string method;  // the choice's name; "references"
  std::vector<int64_t> ratios;
  int64_t seed = 0;
  std::string data;
  std::string training;  // the cell in whose folder it is trained: cells that differ in evaluation only share one
  Config config;         // run.dir is that folder
};

// All cells of the grid, references first. `layers`: the sweep's configuration. Throws Error for an empty grid and for
// names that stand twice.
std::vector<SweepCell> sweep_cells(const std::vector<ConfigLayer>& layers);

// results.jsonl of a sweep's folder: a line per row of a finished cell. A torn last line is dropped, with a warning;
// any other broken line is an Error.
std::vector<Json> read_sweep_results(const std::filesystem::path& folder);

struct SweepOutcome {
  int64_t cells = 0, done_before = 0, done_now = 0, failed = 0;
};
// Does what is missing in config.run.dir and draws results.md and results.csv anew after each cell. A cell that fails
// is written to failures.jsonl and the rest goes on; cells that another process is at are waited for.
SweepOutcome run_sweep(const std::vector<ConfigLayer>& layers, const CompressorRegistry& registry);

// The plan as rows: `cell`, `state` (done, failed, to do), the last `error` of a failed one, and `seconds` of a
// finished one. Of the others `estimated_seconds`, by what finished cells of the same method, or else of any, took in
// terms of their plans; before there are any, `planned_training_seconds`, for contexts and tasks of the greatest
// length.
Json sweep_plan(const std::vector<ConfigLayer>& layers);

// The tables of a sweep, from its results alone. `baseline`: the method that time to target is measured against, or "";
// `score`: in what.
std::string sweep_markdown(const std::vector<Json>& results, const std::string& baseline,
                           const std::string& score = "em_percent");
std::string sweep_csv(const std::vector<Json>& results);

}  // namespace precis

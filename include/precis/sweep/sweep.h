// The grid of methods, ratios, seeds and data (docs/formats.md). Each cell is trained and evaluated once, across
// interruptions and any number of processes that share the folder.
#pragma once

#include <filesystem>

#include "precis/compress/compressor.h"
#include "precis/config/schema.h"

namespace precis {

// One unit of work: a training run with its evaluation, or the references of a data set.
struct SweepCell {
  std::string id;      // "pic-16x-seed-1", with the data set's name if there are several
  std::string method;  // the choice's name; "references"
  std::vector<int64_t> ratios;
  int64_t seed = 0;
  std::string data;
  std::string training;  // the cell whose folder holds the training run; cells that differ in evaluation only share it
  Config config;         // run.dir is that folder
  Json settings;         // all that its results depend on, where it differs from the defaults
};

// All cells of the grid, references first. `layers`: the sweep's configuration. Throws Error on an empty grid and on
// duplicate names.
std::vector<SweepCell> sweep_cells(const std::vector<ConfigLayer>& layers, const Methods& methods);

// results.jsonl of a sweep's folder: one line per report row of a finished cell. An incomplete last line is dropped
// with a warning; any other malformed line is an Error.
std::vector<Json> read_sweep_results(const std::filesystem::path& folder);

struct SweepOutcome {
  int64_t cells = 0, done_before = 0, done_now = 0, failed = 0;
};
// Runs the missing cells in config.run.dir and rewrites results.md and results.csv after each. A failed cell is
// recorded in failures.jsonl and the sweep continues; it waits for cells that another process is running.
SweepOutcome run_sweep(const std::vector<ConfigLayer>& layers, const CompressorRegistry& registry);

// The plan as rows: `cell`, `state` (done, failed, to do, other settings), the last `error` of a failed cell or the
// settings that differ, and `seconds` of a finished one. Other cells have `estimated_seconds`: their plan, scaled by
// measured over planned time of finished cells of the same method (or of any). Before any cell is finished:
// `planned_training_seconds`, for contexts and tasks of maximum length.
Json sweep_plan(const std::vector<ConfigLayer>& layers, const Methods& methods);

// The tables of a sweep, from its results alone. `baseline`: the method whose best `score` is the target of
// time-to-target, or "".
std::string sweep_markdown(const std::vector<Json>& results, const std::string& baseline,
                           const std::string& score = "em_percent");
std::string sweep_csv(const std::vector<Json>& results);

}  // namespace precis

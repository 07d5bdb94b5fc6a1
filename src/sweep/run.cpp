#include <chrono>
#include <map>
#include <set>
#include <thread>

#include "precis/core/error.h"
#include "precis/core/file.h"
#include "precis/core/hash.h"
#include "precis/core/interrupt.h"
#include "precis/core/log.h"
#include "precis/core/strings.h"
#include "precis/eval/evaluator.h"
#include "precis/eval/train_run.h"
#include "precis/sweep/sweep.h"
#include "precis/train/plan.h"
#include "precis/train/throughput.h"

namespace precis {
namespace fs = std::filesystem;
namespace {

// A finished cell has one line per report row.
std::set<std::string> finished_cells(const std::vector<Json>& results) {
  std::map<std::string, int64_t> lines;
  std::set<std::string> finished;
  for (const Json& line : results) {
    const std::string cell = line.at("cell");
    if (++lines[cell] == line.at("rows_of_cell").get<int64_t>()) finished.insert(cell);
  }
  return finished;
}

// The last recorded failure of each cell.
std::map<std::string, std::string> read_failures(const fs::path& folder) {
  std::map<std::string, std::string> out;
  const fs::path file = folder / "failures.jsonl";
  if (!fs::exists(file)) return out;
  for (const auto& line : split(read_file(file), '\n')) {
    const Json failure = Json::parse(line, nullptr, false);  // skips an incomplete line
    if (failure.is_object()) out[failure.value("cell", "")] = failure.value("error", "");
  }
  return out;
}

// The cells that have results of other settings, with each difference. `without` counts cells whose results do not name
// their settings.
std::map<std::string, std::vector<std::string>> changed_cells(const std::vector<SweepCell>& cells,
                                                              const std::vector<Json>& results, size_t* without) {
  std::map<std::string, const SweepCell*> by_id;
  for (const auto& cell : cells) by_id[cell.id] = &cell;
  const auto shown = [](const Json& value) { return value.is_null() ? "its default" : value.dump(); };
  std::map<std::string, std::vector<std::string>> out;
  std::set<std::string> seen;
  for (const Json& line : results) {
    const auto found = by_id.find(line.at("cell").get<std::string>());
    if (found == by_id.end() || !seen.insert(found->first).second) continue;
    if (!line.contains("settings")) {
      ++*without;
      continue;
    }
    for (const JsonChange& c : json_changes(line.at("settings"), found->second->settings))
      out[found->first].push_back(cat(c.path, " was ", shown(c.before), ", is ", shown(c.now)));
  }
  return out;
}

// Loaded decoders and tokenizers by path and settings: most cells share them.
class Models {
 public:
  struct Loaded {
    std::shared_ptr<const Decoder> decoder;
    std::shared_ptr<const Tokenizer> tokenizer;
  };
  const Loaded& get(const Config& c) {
    const std::string tokenizer = c.tokenizer.path.empty() ? c.model.path : c.tokenizer.path,
                      key = join({c.model.path, c.model.dtype, c.model.decode_dtype, c.model.device, tokenizer}, "\n");
    const auto found = loaded_.find(key);
    if (found != loaded_.end()) return found->second;
    require_set(c, {"model.path"});
    return loaded_[key] = {load_decoder(c.model.path, c.model.dtype, c.model.device, c.model.decode_dtype),
                           load_tokenizer(tokenizer)};
  }

 private:
  std::map<std::string, Loaded> loaded_;
};

class Sweep {
 public:
  Sweep(const std::vector<ConfigLayer>& layers, const CompressorRegistry& registry)
      : registry_(registry),
        config_(resolve_config(layers, registry.methods())),
        cells_(sweep_cells(layers, registry.methods())) {
    require_set(config_, {"run.dir"});
    folder_ = config_.run.dir;
    make_folder(folder_);
  }

  SweepOutcome run() {
    const InterruptGuard stops_between_steps;
    SweepOutcome outcome{.cells = static_cast<int64_t>(cells_.size())};
    refuse_other_settings();
    outcome.done_before = count_done();
    write_tables();
    std::set<std::string> failed;
    while (true) {
      bool any_busy = false;
      for (size_t i = 0; i < cells_.size(); ++i) {
        const SweepCell& cell = cells_[i];
        if (failed.contains(cell.id) || is_done(cell)) continue;
        const auto claim = try_claim(cell);
        if (!claim) {
          any_busy = true;
          continue;
        }
        if (is_done(cell)) continue;  // finished by another process in the meantime
        log::info(cat("cell ", i + 1, " of ", cells_.size(), ": ", cell.id));
        run_cell(cell) ? ++outcome.done_now : (failed.insert(cell.id), ++outcome.failed);
        write_tables();
      }
      if (!any_busy) return outcome;
      std::this_thread::sleep_for(std::chrono::seconds(1));
      if (interrupted()) throw Error({.what = "interrupted", .where = folder_.string()}, Error::Kind::interrupted);
    }
  }

 private:
  bool is_done(const SweepCell& cell) const { return finished_cells(read_sweep_results(folder_)).contains(cell.id); }

  int64_t count_done() const {
    const auto finished = finished_cells(read_sweep_results(folder_));
    return std::count_if(cells_.begin(), cells_.end(), [&](const SweepCell& c) { return finished.contains(c.id); });
  }

  // Results of a cell with other settings do not belong in this sweep's tables.
  void refuse_other_settings() const {
    size_t without = 0;
    std::vector<std::string> problems;
    for (const auto& [cell, changes] : changed_cells(cells_, read_sweep_results(folder_), &without)) {
      for (const auto& change : changes) problems.push_back(cat(cell, ": ", change));
    }
    if (without > 0)
      log::warn(cat((folder_ / "results.jsonl").string(), ": ", without,
                    " cells do not name their settings; they are taken to be this sweep's"));
    if (problems.empty()) return;
    const size_t count = problems.size();
    if (count > 8) problems.resize(8);
    throw Error({.what = cat("the folder holds results of other settings (", count, " differences):\n  ",
                             join(problems, "\n  ")),
                 .where = (folder_ / "results.jsonl").string(),
                 .hint = "choose another run.dir, or remove these cells' lines and their folders in cells/"});
  }

  // Locks a cell's training run against other processes; null if another process has it.
  std::unique_ptr<FolderLock> try_claim(const SweepCell& cell) const {
    const fs::path claim = folder_ / "claims" / cell.training;
    make_folder(claim);
    try {
      return std::make_unique<FolderLock>(claim);
    } catch (const Error& e) {
      if (e.details().what.find("in use") == std::string::npos) throw;
      return nullptr;
    }
  }

  bool run_cell(const SweepCell& cell) {
    const auto failure = failure_of([&] {
      const std::vector<Json> lines = results_of(cell);
      std::string text;
      for (const Json& line : lines) text += cat(text.empty() ? "" : "\n", line.dump());
      append_result(text);
    });
    if (failure) note_failure(cell, *failure);
    return !failure;
  }

  // Appends after removing an incomplete last line, left by a crash.
  void append_result(const std::string& lines) const {
    const fs::path file = folder_ / "results.jsonl", guard = folder_ / "claims" / "results";
    make_folder(guard);
    std::unique_ptr<FolderLock> lock;
    for (int tries = 0; !lock; ++tries) {
      try {
        lock = std::make_unique<FolderLock>(guard);
      } catch (const Error&) {
        if (tries == 600) throw;
        std::this_thread::sleep_for(std::chrono::milliseconds(50));
      }
    }
    if (fs::exists(file)) {
      const std::string text = read_file(file);
      const size_t end = text.rfind('\n');
      const size_t whole = end == std::string::npos ? 0 : end + 1;
      if (whole < text.size()) fs::resize_file(file, whole);
    }
    append_line(file, lines);
  }

  void note_failure(const SweepCell& cell, const std::string& message) const {
    log::error(cat(cell.id, " failed: ", message));
    append_line(folder_ / "failures.jsonl", Json{{"cell", cell.id}, {"error", message}}.dump());
  }

  std::vector<Json> results_of(const SweepCell& cell) {
    const auto start = std::chrono::steady_clock::now();
    const Models::Loaded& model = models_.get(cell.config);
    Config own = cell.config;
    Json training;
    if (cell.method != "references") {
      const TrainResult trained = train_run(own, registry_, model.decoder, *model.tokenizer);
      training = {{"steps", trained.steps}, {"seconds", trained.train_seconds}, {"run", own.run.dir}};
      own.eval.compressors = {own.run.dir};
      own.eval.references.clear();
    } else {
      own.eval.compressors.clear();
    }
    const Report report = evaluate(own, registry_, model.decoder, *model.tokenizer);
    write_report(folder_ / "cells" / cell.id / "report", report);
    for (const auto& row : report.rows) {
      if (row.tasks.empty() && !row.failures.empty())
        throw Error({.what = row.failures.begin()->second, .where = cat(cell.id, ", ", row.failures.begin()->first)});
    }
    const Json whole = report_json(report);
    const double seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
    const std::string settings_hash = Hasher().update(cell.settings.dump()).hex();
    std::vector<Json> lines;
    for (size_t i = 0; i < report.rows.size(); ++i) {
      const bool is_reference = cell.method == "references";
      lines.push_back({{"cell", cell.id},
                       {"rows_of_cell", report.rows.size()},
                       {"method", is_reference ? report.rows[i].method : cell.method},
                       {"reference", is_reference},
                       {"ratio", report.rows[i].ratio},
                       {"seed", cell.seed},
                       {"data", cell.data},
                       {"settings", cell.settings},
                       {"settings_hash", settings_hash},
                       {"seconds", seconds},
                       {"training", training},
                       {"row", whole.at("rows").at(i)},
                       {"items", items_of(report.rows[i])},
                       {"environment", report.environment}});
    }
    return lines;
  }

  // The main measure of each task per item, for paired differences and intervals over seeds.
  static Json items_of(const ReportRow& row) {
    Json out = Json::object();
    for (const auto& scores : row.tasks) {
      Json values = Json::array();
      for (const auto& item : scores.measures.front().items) values.push_back(item);
      out[scores.task] = {{"measure", scores.measures.front().name}, {"groups", scores.groups}, {"sums", values}};
    }
    return out;
  }

  // Repeats if another process finished a cell meanwhile, so that the tables are never outdated.
  void write_tables() const {
    for (size_t written = 0;;) {
      const auto results = read_sweep_results(folder_);
      if (results.size() == written) return;
      written = results.size();
      write_file_atomically(folder_ / "results.md",
                            sweep_markdown(results, config_.sweep.baseline, config_.sweep.score));
      write_file_atomically(folder_ / "results.csv", sweep_csv(results));
    }
  }

  const CompressorRegistry& registry_;
  Config config_;
  std::vector<SweepCell> cells_;
  fs::path folder_;
  Models models_;
};

}  // namespace

std::vector<Json> read_sweep_results(const fs::path& folder) {
  std::vector<Json> out;
  const fs::path file = folder / "results.jsonl";
  if (!fs::exists(file)) return out;
  const std::string text = read_file(file);
  const size_t end = text.rfind('\n');
  const std::string whole = end == std::string::npos ? "" : text.substr(0, end);
  if (whole.size() + 1 < text.size())
    log::warn(cat(file.string(), ": the last line is incomplete and is ignored; its cell runs again"));
  size_t number = 0;
  for (const auto& line : split(whole, '\n')) {
    const std::string where = cat(file.string(), " line ", ++number);
    if (trim(line).empty()) continue;
    Json json = parse_json(line, where);
    for (const char* key : {"cell", "rows_of_cell", "method", "reference", "ratio", "seed", "data", "row", "items"})
      json_get<Json>(json, key, where);
    out.push_back(std::move(json));
  }
  return out;
}

SweepOutcome run_sweep(const std::vector<ConfigLayer>& layers, const CompressorRegistry& registry) {
  return Sweep(layers, registry).run();
}

Json sweep_plan(const std::vector<ConfigLayer>& layers, const Methods& methods) {
  const Config config = resolve_config(layers, methods);
  const fs::path folder = config.run.dir;
  const std::vector<Json> results = read_sweep_results(folder);
  const auto finished = finished_cells(results);
  const auto failures = read_failures(folder);
  std::map<std::string, double> measured;
  for (const Json& line : results) measured[line.at("cell")] = line.at("seconds");
  const std::vector<SweepCell> cells = sweep_cells(layers, methods);
  const double peak = matrix_peak(resolve_dtype(config.model.dtype, at::kCPU), at::kCPU);
  const auto planned = [peak](const SweepCell& cell) {
    return cell.config.train.max_seconds > 0 ? cell.config.train.max_seconds : planned_seconds(cell.config, peak);
  };
  // Measured and planned seconds of finished cells, by method and in total.
  struct Timing {
    double measured = 0, planned = 0;
  };
  std::map<std::string, Timing> by_method;
  Timing total;
  for (const auto& cell : cells) {
    if (cell.method == "references" || !finished.contains(cell.id)) continue;
    for (Timing* t : {&by_method[cell.method], &total}) {
      t->measured += measured[cell.id];
      t->planned += planned(cell);
    }
  }
  size_t without = 0;
  const auto changed = changed_cells(cells, results, &without);
  Json plan = Json::array();
  for (const auto& cell : cells) {
    const auto failure = failures.find(cell.id);
    Json row = {{"cell", cell.id}, {"state", "to do"}};
    if (const auto other = changed.find(cell.id); other != changed.end()) {
      row["state"] = "other settings";
      row["error"] = join(other->second, "; ");
    } else if (finished.contains(cell.id)) {
      row["state"] = "done";
      row["seconds"] = measured[cell.id];
    } else if (failure != failures.end()) {
      row["state"] = "failed";
      row["error"] = failure->second;
    }
    if (row["state"] != "done" && row["state"] != "other settings" && cell.method != "references") {
      const Timing& own = by_method[cell.method];
      const Timing& t = own.planned > 0 ? own : total;
      if (t.planned > 0) {
        row["estimated_seconds"] = planned(cell) * t.measured / t.planned;
      } else {
        row["planned_training_seconds"] = planned(cell);
      }
    }
    plan.push_back(std::move(row));
  }
  return plan;
}

}  // namespace precis

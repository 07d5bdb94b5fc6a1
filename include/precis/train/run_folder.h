// A training run on disk (docs/formats.md): resolved config, environment, metrics, checkpoints, final export.
// Everything is written atomically; a run killed at any moment resumes from its newest complete checkpoint.
#pragma once

#include <filesystem>
#include <optional>

#include "precis/train/adamw.h"
#include "precis/train/event_file.h"
#include "precis/train/learner.h"

namespace precis {

// The state of a run, except for tensors.
struct RunState {
  int64_t step = 0;
  double train_seconds = 0;  // without evaluations
  int64_t tokens = 0;
  double last_eval_seconds = 0;
  std::string data_hash;
  int64_t skipped = 0;     // steps skipped because of a non-finite loss or gradient
  double best_score = -1;  // of train.keep_best, and its step
  int64_t best_step = -1;
  bool reached_target = false;
};
Json to_json(const RunState& state);
RunState run_state_from_json(const Json& json, const std::string& where);

class RunFolder {
 public:
  // Creates and locks the folder. An existing run must have the same configuration, except for keys that may change
  // between starts (steps, seconds, intervals, evaluation, threads).
  RunFolder(const std::filesystem::path& path, const Config& config);

  const std::filesystem::path& path() const { return path_; }
  std::vector<std::filesystem::path> checkpoints() const;  // oldest first
  // Loads the newest complete checkpoint into learner and optimiser. Nothing if there is none.
  std::optional<RunState> resume(Learner& learner, AdamW& optimizer) const;
  void load(int64_t step, Learner& learner) const;  // the learner's tensors at that step
  // Keeps the newest `keep` checkpoints and the one of state.best_step.
  void save(const RunState& state, const Learner& learner, const AdamW& optimizer, int64_t keep) const;

  void append_metrics(const Json& line);        // metrics.jsonl and, with run.tensorboard, an event file
  void append_skipped(const Json& line) const;  // skipped.jsonl
  void drop_metrics_after(int64_t step);        // removes lines of steps lost in a crash; before new lines

 private:
  std::filesystem::path path_;
  std::unique_ptr<FolderLock> lock_;
  bool writes_events_ = false;
  std::unique_ptr<EventFile> events_;
};

// The checkpoint of a run: "last", "best" (of train.keep_best) or a step. Throws Error with the steps there are.
std::filesystem::path find_checkpoint(const std::filesystem::path& run, const std::string& which);

Json environment_json(const Config& config);  // version, LibTorch, processor, threads

}  // namespace precis

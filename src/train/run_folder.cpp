#include "precis/train/run_folder.h"

#include <ATen/Parallel.h>
#include <torch/types.h>
#include <torch/version.h>

#include <algorithm>
#include <fstream>

#include "precis/config/schema.h"
#include "precis/core/error.h"
#include "precis/core/log.h"
#include "precis/core/process.h"
#include "precis/core/strings.h"
#include "precis/nn/device.h"

namespace precis {
namespace fs = std::filesystem;
namespace {

// Keys that may change between two starts of the same run.
bool may_change(const std::string& key, const std::vector<std::string>& allowed) {
  static const std::vector<std::string> free = {
      "train.steps",        "train.max_seconds", "train.log_interval", "train.save_interval", "train.keep",
      "train.keep_best",    "train.target_em",   "train.skip_limit",   "train.allow_changes", "train.eval_interval",
      "train.eval_seconds", "train.eval_limit",  "train.eval_tasks",   "run.threads",         "run.dir",
      "data.eval",          "model.path",        "tokenizer.path",     "run.tensorboard"};
  if (std::find(allowed.begin(), allowed.end(), key) != allowed.end()) return true;
  return key.starts_with("eval.") || key.starts_with("bench.") || key.starts_with("sweep.") ||
         std::find(free.begin(), free.end(), key) != free.end();
}

std::string checkpoint_name(int64_t step) {
  char name[32];
  std::snprintf(name, sizeof name, "step-%06lld", static_cast<long long>(step));
  return name;
}

// Complete checkpoints of a run, oldest first.
std::vector<fs::path> complete_checkpoints(const fs::path& run) {
  std::vector<fs::path> found;
  if (!fs::exists(run / "checkpoints")) return found;
  for (const auto& entry : fs::directory_iterator(run / "checkpoints")) {
    const std::string name = entry.path().filename().string();
    if (name.starts_with("step-") && fs::exists(entry.path() / "state.json")) found.push_back(entry.path());
  }
  // By step: names have at least six digits, so a longer one is a later step.
  std::sort(found.begin(), found.end(), [](const fs::path& a, const fs::path& b) {
    const std::string x = a.filename().string(), y = b.filename().string();
    return x.size() != y.size() ? x.size() < y.size() : x < y;
  });
  return found;
}

RunState read_state(const fs::path& checkpoint) {
  return run_state_from_json(read_json(checkpoint / "state.json"), (checkpoint / "state.json").string());
}

}  // namespace

Json environment_json(const Config& config) {
  const at::Device device(config.model.device);
  Json out = {{"precis", PRECIS_VERSION},         {"git_revision", PRECIS_REVISION},
              {"libtorch", TORCH_VERSION},        {"processor", device_name(torch::kCPU)},
              {"device", config.model.device},    {"dtype", c10::toString(resolve_dtype(config.model.dtype, device))},
              {"threads", at::get_num_threads()}, {"command", command_line()}};
  if (!device.is_cpu()) out["gpu"] = device_name(device);
  return out;
}

Json to_json(const RunState& s) {
  return {{"step", s.step},
          {"train_seconds", s.train_seconds},
          {"tokens", s.tokens},
          {"last_eval_seconds", s.last_eval_seconds},
          {"data_hash", s.data_hash},
          {"skipped", s.skipped},
          {"best_score", s.best_score},
          {"best_step", s.best_step},
          {"reached_target", s.reached_target}};
}

RunState run_state_from_json(const Json& json, const std::string& where) {
  return {json_get<int64_t>(json, "step", where),          json_get<double>(json, "train_seconds", where),
          json_get<int64_t>(json, "tokens", where),        json_get<double>(json, "last_eval_seconds", where),
          json_get<std::string>(json, "data_hash", where), json_get<int64_t>(json, "skipped", where),
          json_get<double>(json, "best_score", where),     json_get<int64_t>(json, "best_step", where),
          json_get<bool>(json, "reached_target", where)};
}

RunFolder::RunFolder(const fs::path& path, const Config& config) : path_(path), writes_events_(config.run.tensorboard) {
  make_folder(path_ / "checkpoints");
  lock_ = std::make_unique<FolderLock>(path_);
  const fs::path file = path_ / "config.json";
  if (fs::exists(file)) {
    std::vector<std::string> changes;
    const Json before = to_json_absolute(read_config(file, config.compressor.methods));
    for (const JsonChange& c : json_changes(before, to_json_absolute(config))) {
      if (!may_change(c.path, config.train.allow_changes))
        changes.push_back(cat(c.path, " was ", c.before.dump(), ", is ", c.now.dump()));
    }
    if (!changes.empty()) {
      throw Error({.what = "the folder contains a run with another configuration:\n  " + join(changes, "\n  "),
                   .where = path_.string(),
                   .hint = "choose another run.dir, or list the changed keys in train.allow_changes"});
    }
  }
  write_json(file, to_json_for(config, path_));
  write_json(path_ / "environment.json", environment_json(config));
}

std::vector<fs::path> RunFolder::checkpoints() const {
  for (const auto& entry : fs::directory_iterator(path_ / "checkpoints")) {
    if (entry.path().filename().string().starts_with(".")) fs::remove_all(entry.path());  // an interrupted save
  }
  return complete_checkpoints(path_);
}

std::optional<RunState> RunFolder::resume(Learner& learner, AdamW& optimizer) const {
  const auto all = checkpoints();
  if (all.empty()) return std::nullopt;
  const fs::path& newest = all.back();
  const RunState state = read_state(newest);
  learner.require_own(newest);
  const SafetensorsFile moments(newest / "optimizer.safetensors");
  load(state.step, learner);
  optimizer.load_state(moments.tensors(), moments.path());
  return state;
}

void RunFolder::load(int64_t step, Learner& learner) const {
  const SafetensorsFile tensors(path_ / "checkpoints" / checkpoint_name(step) / (learner.file() + ".safetensors"));
  learner.load(tensors.tensors(), tensors.path());
}

fs::path find_checkpoint(const fs::path& run, const std::string& which) {
  const auto all = complete_checkpoints(run);
  std::vector<std::string> steps;
  for (const auto& checkpoint : all) steps.push_back(cat(read_state(checkpoint).step));
  const int64_t best = all.empty() ? -1 : read_state(all.back()).best_step;
  if (which == "last" && !all.empty()) return all.back();
  const std::string step = which == "best" ? cat(best) : which;
  for (size_t i = 0; i < all.size(); ++i) {
    if (steps[i] == step) return all[i];
  }
  throw Error({.what = cat("no such checkpoint: ", excerpt(which)),
               .where = (run / "checkpoints").string(),
               .expected = steps.empty() ? "last, best or a step" : "last, best or a step: " + join(steps, ", "),
               .found = which == "best" && best < 0 ? "no best one; it needs train.keep_best" : "",
               .hint = steps.empty() ? "the folder has no checkpoints" : ""});
}

void RunFolder::save(const RunState& state, const Learner& learner, const AdamW& optimizer, int64_t keep) const {
  const std::string name = checkpoint_name(state.step);
  if (fs::exists(path_ / "checkpoints" / name / "state.json")) return;  // already saved
  write_folder_atomically(path_ / "checkpoints" / name, [&](const fs::path& folder) {
    write_safetensors(folder / (learner.file() + ".safetensors"), learner.tensors());
    write_safetensors(folder / "optimizer.safetensors", optimizer.state());
    learner.describe(folder);
    write_json(folder / "state.json", to_json(state));
  });
  const auto all = checkpoints();
  for (size_t i = 0; i + static_cast<size_t>(keep) < all.size(); ++i) {
    if (all[i].filename() != checkpoint_name(state.best_step)) fs::remove_all(all[i]);
  }
}

void RunFolder::append_metrics(const Json& line) {
  append_line(path_ / "metrics.jsonl", line.dump());
  if (!events_) return;
  const std::string group = line.at("event") == "eval" ? "eval/" : "train/";
  for (const auto& [key, value] : line.items()) {
    if (value.is_number() && key != "step") events_->scalar(group + key, line.at("step"), value);
  }
}

void RunFolder::append_skipped(const Json& line) const { append_line(path_ / "skipped.jsonl", line.dump()); }

void RunFolder::drop_metrics_after(int64_t step) {
  if (writes_events_) {
    events_ = std::make_unique<EventFile>(path_ / "tensorboard", step + 1);
    events_->text("config", step, "```\n" + read_file(path_ / "config.json") + "\n```");
  }
  const fs::path file = path_ / "metrics.jsonl";
  if (!fs::exists(file)) return;
  std::string kept;
  for (const auto& line : split(read_file(file), '\n')) {
    const Json json = Json::parse(line, nullptr, false);  // also drops an incomplete last line
    if (json.is_object() && json.value("step", int64_t{0}) <= step) kept += line + "\n";
  }
  write_file_atomically(file, kept);
}

}  // namespace precis

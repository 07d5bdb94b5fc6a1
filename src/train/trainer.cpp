#include "precis/train/trainer.h"

#include <ATen/CPUGeneratorImpl.h>
#include <torch/types.h>

#include <chrono>

#include "precis/core/error.h"
#include "precis/core/hash.h"
#include "precis/core/interrupt.h"
#include "precis/core/log.h"
#include "precis/core/process.h"
#include "precis/core/progress.h"
#include "precis/core/random.h"
#include "precis/core/strings.h"
#include "precis/nn/recompute.h"
#include "precis/train/run_folder.h"
#include "precis/train/throughput.h"
#include "step.h"

namespace precis {
namespace {

// Statistics of the steps since the last log line.
struct Window {
  double loss = 0, seconds = 0;
  int64_t steps = 0, tokens = 0;
  StepSeconds parts;
};

class TrainingRun {
 public:
  TrainingRun(Learner& learner, const std::vector<TrainingStage>& stages, const Config& config,
              const std::function<Json()>& evaluate, const ProcessGroup& group)
      : learner_(learner),
        stages_(stages),
        config_(config),
        train_(config.train),
        evaluate_(evaluate),
        group_(group),
        folder_(group.leads() ? std::make_unique<RunFolder>(config.run.dir, config) : nullptr),
        optimizer_(learner.tensors(), config.train, [&](const std::string& name) { return learner.lr_factor(name); }),
        queue_(stages_, config_, group_) {
    Hasher hasher;
    for (const auto& stage : stages_) {
      first_step_.push_back(total_steps_);
      total_steps_ += stage.settings.steps;
      hasher.update(stage.data->hash());
      require_tasks(stage);
    }
    state_.data_hash = hasher.hex();
    if (group_.leads()) {
      progress_ = std::make_unique<Progress>(cat("train ", learner.name()),
                                             by_time() ? train_.max_seconds : static_cast<double>(total_steps_),
                                             by_time() ? "s of training" : "steps");
    }
  }

  TrainResult run() {
    const InterruptGuard stops_between_steps;
    resume();
    const bool was_finished =
        group_.copy_from_first(std::string(folder_ && learner_.is_exported(folder_->path()) ? "yes" : "no")) == "yes";
    if (was_finished && is_done()) return {state_.step, state_.train_seconds, true};
    if (folder_) folder_->drop_metrics_after(state_.step);
    announce();
    learner_.set_training(true);
    while (!is_done()) {
      step();
      if (state_.step % train_.log_interval == 0) write_log();
      if (evaluation_is_due()) evaluate();
      if (state_.step % train_.save_interval == 0) save();
    }
    if (evaluate_ && last_evaluated_ != state_.step) evaluate();
    save();
    learner_.set_training(false);
    if (folder_) write_export();
    return {state_.step, state_.train_seconds, false};
  }

 private:
  // Fails early if a stage's data does not support one of its objectives.
  void require_tasks(const TrainingStage& stage) const {
    ObjectiveConfig all = stage.settings.objectives;
    all.mix = "joint";
    for (const auto& objective : objectives_of(all, 0, 0)) stage.data->require(objective.task);
  }
  bool by_time() const { return train_.max_seconds > 0; }
  bool is_done() const {
    return state_.step >= total_steps_ || (by_time() && state_.train_seconds >= train_.max_seconds) ||
           state_.reached_target;
  }
  void save() {
    if (folder_) folder_->save(state_, learner_, optimizer_, train_.keep);
  }
  // The last state; with train.keep_best the best one.
  void write_export() {
    if (state_.best_step >= 0 && state_.best_step != state_.step) {
      folder_->load(state_.best_step, learner_);
      log::info(cat("exporting the best checkpoint, step ", state_.best_step, ": ", train_.keep_best, " ",
                    fixed(state_.best_score, 2)));
    }
    learner_.write_export(folder_->path());
  }
  size_t stage() const {
    size_t index = 0;
    while (index + 1 < stages_.size() && state_.step >= first_step_[index + 1]) ++index;
    return index;
  }

  // The stage's progress: by steps or, with a single stage, by time, whichever is greater.
  double stage_progress() const {
    const auto steps = static_cast<double>(std::max<int64_t>(1, stages_[stage()].settings.steps));
    const double by_steps = static_cast<double>(state_.step - first_step_[stage()]) / steps;
    const double time = by_time() && stages_.size() == 1 ? state_.train_seconds / train_.max_seconds : 0;
    return std::min(1.0, std::max(by_steps, time));
  }

  void resume() {
    std::string text;
    if (folder_) {
      if (const auto resumed = folder_->resume(learner_, optimizer_)) text = to_json(*resumed).dump();
    }
    text = group_.copy_from_first(text);
    std::vector<Tensor> tensors = optimizer_.parameters();
    for (const auto& [name, tensor] : optimizer_.state()) tensors.push_back(tensor);
    group_.copy_from_first(tensors);
    if (text.empty()) return;
    const RunState resumed = run_state_from_json(parse_json(text, config_.run.dir), config_.run.dir);
    if (resumed.data_hash != state_.data_hash) {
      throw Error({.what = "the training data has changed since the last checkpoint",
                   .where = config_.run.dir,
                   .expected = resumed.data_hash,
                   .found = state_.data_hash});
    }
    state_ = resumed;
    if (!is_done() && group_.leads()) log::info(cat("resuming from step ", state_.step));
  }

  void announce() {
    if (!group_.leads()) return;
    int64_t trained = 0;
    for (const auto& [name, tensor] : learner_.tensors()) trained += tensor.numel();
    const int64_t all = learner_.decoder().config().parameters();
    log::info(cat("training ", learner_.name(), ": ", trained, " parameters (",
                  fixed(100 * static_cast<double>(trained) / static_cast<double>(all), 2), " % of the decoder's ", all,
                  "), ", stages_.front().data->size(), " contexts",
                  stages_.size() > 1 ? cat(", ", stages_.size(), " stages") : "",
                  group_.size() > 1 ? cat(", ", group_.size(), " processes") : ""));
    peak_ = matrix_peak(learner_.decoder().dtype(), learner_.decoder().device());
  }

  [[noreturn]] void stop() {
    save();
    throw Error({.what = cat("interrupted; saved at step ", state_.step),
                 .where = config_.run.dir,
                 .hint = "run the same command again to resume"},
                Error::Kind::interrupted);
  }

  void step() {
    using Clock = std::chrono::steady_clock;
    const auto seconds_since = [](Clock::time_point t) {
      return std::chrono::duration<double>(Clock::now() - t).count();
    };
    const size_t now = stage();
    last_stage_ = now;
    const StageConfig& settings = stages_[now].settings;
    if (now > 0 && state_.step == first_step_[now]) optimizer_.forget();
    const auto seed = static_cast<uint64_t>(config_.run.seed), step = static_cast<uint64_t>(state_.step);
    const auto start = Clock::now();
    const bool more = state_.step + 1 < total_steps_ && stage_end(now) > state_.step + 1;
    const StepWork work = queue_.take(now, state_.step, more);
    const double waited = seconds_since(start);
    window_.parts.data += waited;
    learning_rate_ = learning_rate(settings, train_.final_lr_share, state_.step - first_step_[now], stage_progress());
    learner_.begin_step(seed, state_.step);
    const RecomputeGuard recompute(train_.recompute);
    const StepResult result =
        compute_gradients(learner_, optimizer_, work, settings.objectives, Random(seed, "dropout", step).next(),
                          train_.clip, group_, window_.parts);
    if (result.interrupted) stop();  // before the update: the step runs again on resume
    const auto update = Clock::now();
    if (result.finite()) {
      optimizer_.step(learning_rate_);
    } else {
      skip(result, now);
    }
    const double updated = seconds_since(update);
    window_.parts.optimizer += updated;
    const double took = result.seconds + group_.sum({group_.leads() ? waited + updated : 0.0})[0];
    ++state_.step;
    state_.tokens += result.tokens;
    state_.train_seconds += took;
    gradient_norm_ = result.gradient_norm;
    window_.loss += result.finite() ? result.loss : 0;
    window_.seconds += took;
    window_.tokens += result.tokens;
    window_.steps += result.finite() ? 1 : 0;
  }

  int64_t stage_end(size_t index) const { return index + 1 < stages_.size() ? first_step_[index + 1] : total_steps_; }

  // Skips a step, records its contexts in skipped.jsonl, and stops the run after too many.
  void skip(const StepResult& result, size_t now) {
    ++state_.skipped;
    const auto members = stages_[now].data->members(static_cast<uint64_t>(config_.run.seed), state_.step, train_.batch);
    if (folder_) {
      folder_->append_skipped({{"step", state_.step},
                               {"stage", now},
                               {"loss", cat(result.loss)},
                               {"gradient_norm", cat(result.gradient_norm)},
                               {"contexts", members}});
      log::warn(cat("step ", state_.step, " skipped: loss ", result.loss, ", gradient norm ", result.gradient_norm));
    }
    if (state_.skipped <= train_.skip_limit) return;
    throw Error({.what = cat("the loss or its gradient is not finite at step ", state_.step, ", after ",
                             state_.skipped - 1, " skipped steps"),
                 .where = config_.run.dir + "/skipped.jsonl",
                 .found = cat("loss ", result.loss, ", gradient norm ", result.gradient_norm),
                 .hint = "lower train.lr, or set train.clip"},
                Error::Kind::failed_check);
  }

  void write_log() {
    if (!folder_) {
      window_ = {};
      return;
    }
    const double steps = static_cast<double>(std::max<int64_t>(1, window_.steps)), all = window_.seconds;
    const auto per_step = [&](double seconds) { return 1000 * seconds / static_cast<double>(train_.log_interval); };
    const double tokens = static_cast<double>(window_.tokens),
                 operations = training_operations_per_token(learner_.decoder().config()) * tokens;
    const double left =
        by_time() ? train_.max_seconds - state_.train_seconds
                  : static_cast<double>(total_steps_ - state_.step) * all / static_cast<double>(train_.log_interval);
    folder_->append_metrics({{"event", "step"},
                             {"step", state_.step},
                             {"stage", stages_[last_stage_].settings.name},
                             {"loss", window_.loss / steps},
                             {"gradient_norm", gradient_norm_},
                             {"learning_rate", learning_rate_},
                             {"train_seconds", state_.train_seconds},
                             {"step_milliseconds", per_step(all)},
                             {"data_wait_milliseconds", per_step(window_.parts.data)},
                             {"encode_milliseconds", per_step(window_.parts.encode)},
                             {"decode_milliseconds", per_step(window_.parts.decode)},
                             {"backward_milliseconds", per_step(window_.parts.backward)},
                             {"communicate_milliseconds", per_step(window_.parts.communicate)},
                             {"optimizer_milliseconds", per_step(window_.parts.optimizer)},
                             {"data_wait_percent", 100 * window_.parts.data / all},
                             {"tokens_per_second", tokens / all},
                             {"contexts_per_second", static_cast<double>(train_.log_interval * train_.batch) / all},
                             {"mfu_percent", 100 * operations / all / (peak_ * static_cast<double>(group_.size()))},
                             {"peak_rss_mb", static_cast<double>(peak_resident_bytes()) / (1 << 20)},
                             {"skipped_steps", state_.skipped},
                             {"seconds_left", std::max(0.0, left)}});
    progress_->update(by_time() ? state_.train_seconds : static_cast<double>(state_.step),
                      cat("step ", state_.step, ", loss ", fixed(window_.loss / steps, 3)));
    window_ = {};
  }

  bool evaluation_is_due() const {
    const bool by_steps = train_.eval_interval > 0 && state_.step % train_.eval_interval == 0;
    const bool by_seconds =
        train_.eval_seconds > 0 && state_.train_seconds - state_.last_eval_seconds >= train_.eval_seconds;
    return evaluate_ && (by_steps || by_seconds);
  }

  void evaluate() {
    learner_.set_training(false);
    Json line = {{"event", "eval"},
                 {"step", state_.step},
                 {"train_seconds", state_.train_seconds},
                 {"train_tokens", state_.tokens}};
    try {
      line.update(evaluate_());
    } catch (const Error& e) {
      if (e.kind() == Error::Kind::interrupted) stop();
      throw;
    }
    learner_.set_training(true);
    state_.last_eval_seconds = state_.train_seconds;
    last_evaluated_ = state_.step;
    const double em = line.value("em_percent", 0.0);
    state_.reached_target = train_.target_em > 0 && em >= train_.target_em;
    if (!train_.keep_best.empty() && line.value(train_.keep_best, -1.0) > state_.best_score) {
      state_.best_score = line.value(train_.keep_best, -1.0);
      state_.best_step = state_.step;
      save();
    }
    if (!folder_) return;
    folder_->append_metrics(line);
    log::info(cat(learner_.name(), " step ", state_.step, " after ", fixed(state_.train_seconds, 0),
                  " s: ", scores_of(line), state_.reached_target ? "; target reached" : ""));
  }

  // An evaluation's scores, for the log.
  static std::string scores_of(const Json& line) {
    if (line.contains("em_percent"))
      return cat("EM ", fixed(line.at("em_percent"), 1), ", F1 ", fixed(line.value("f1_percent", 0.0), 1));
    std::vector<std::string> out;
    for (const auto& [key, value] : line.items()) {
      if (value.is_number_float() && !key.starts_with("train_")) out.push_back(cat(key, " ", fixed(value, 3)));
    }
    return join(out, ", ");
  }

  Learner& learner_;
  const std::vector<TrainingStage>& stages_;
  const Config& config_;
  const TrainConfig& train_;
  const std::function<Json()>& evaluate_;
  const ProcessGroup& group_;
  std::unique_ptr<RunFolder> folder_;  // of the first process
  AdamW optimizer_;
  WorkQueue queue_;
  RunState state_;
  Window window_;
  std::vector<int64_t> first_step_;
  size_t last_stage_ = 0;
  int64_t total_steps_ = 0, last_evaluated_ = -1;
  double learning_rate_ = 0, gradient_norm_ = 0, peak_ = 1;
  std::unique_ptr<Progress> progress_;
};

}  // namespace

std::vector<StageConfig> stages_of(const Config& config) {
  const TrainConfig& t = config.train;
  std::vector<StageConfig> stages = t.stages;
  if (stages.empty()) stages.push_back({.name = "train", .steps = t.steps});
  for (size_t i = 0; i < stages.size(); ++i) {
    StageConfig& stage = stages[i];
    if (stage.name.empty()) stage.name = cat("stage ", i + 1);
    if (stage.schedule.empty()) stage.schedule = t.schedule;
    if (stage.warmup_steps < 0) stage.warmup_steps = t.warmup_steps;
    if (stage.lr == 0) stage.lr = t.lr;
    if (stage.data.empty()) stage.data = config.data.train;
    if (stage.min_context_tokens < 0) stage.min_context_tokens = config.data.min_context_tokens;
    if (stage.max_context_tokens == 0) stage.max_context_tokens = config.data.max_context_tokens;
    const ObjectiveConfig& o = stage.objectives;
    if (o.ae == 0 && o.lm == 0 && o.qa == 0 && o.distill == 0) stage.objectives = t.objectives;
  }
  return stages;
}

TrainResult train(Compressor& compressor, const std::vector<TrainingStage>& stages, const Config& config,
                  const Evaluate& evaluate, const ProcessGroup& group) {
  CompressorLearner learner(compressor);
  const std::function<Json()> evaluation = evaluate ? [&] { return evaluate(compressor); } : std::function<Json()>();
  return train(learner, stages, config, evaluation, group);
}

TrainResult train(Learner& learner, const std::vector<TrainingStage>& stages, const Config& config,
                  const std::function<Json()>& evaluate, const ProcessGroup& group) {
  return TrainingRun(learner, stages, config, evaluate, group).run();
}

TrainResult train(Compressor& compressor, const TrainingSet& data, const Config& config, const Evaluate& evaluate) {
  const std::shared_ptr<const TrainingSet> borrowed(&data, [](const TrainingSet*) {});
  return train(compressor, {{stages_of(config).front(), borrowed}}, config, evaluate, ProcessGroup());
}

}  // namespace precis

#include "precis/train/trainer.h"

#include <ATen/CPUGeneratorImpl.h>
#include <torch/torch.h>

#include <chrono>
#include <cmath>

#include "precis/compress/checkpoint.h"
#include "precis/core/error.h"
#include "precis/core/interrupt.h"
#include "precis/core/log.h"
#include "precis/core/progress.h"
#include "precis/core/random.h"
#include "precis/core/strings.h"
#include "precis/train/run_folder.h"

namespace precis {
namespace {

double seconds_now() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

struct Objective {
  Task task;
  double weight;
};

// The objectives of one step: all of them, or one drawn by weight.
std::vector<Objective> objectives_of(const Config& config, int64_t step) {
  const ObjectiveConfig& o = config.train.objectives;
  std::vector<Objective> all;
  for (const auto& [task, weight] : {Objective{Task::ae, o.ae}, Objective{Task::lm, o.lm}, Objective{Task::qa, o.qa}}) {
    if (weight > 0) all.push_back({task, weight});
  }
  if (all.empty()) throw Error({.what = "no objective has a weight above 0", .where = "train.objectives"});
  if (o.mix == "joint") return all;
  double draw = Random(static_cast<uint64_t>(config.run.seed), "objective", static_cast<uint64_t>(step)).uniform() *
                (o.ae + o.lm + o.qa);
  for (const auto& objective : all) {
    draw -= objective.weight;
    if (draw < 0) return {{objective.task, 1}};
  }
  return {{all.back().task, 1}};
}

// How far the run is, by steps or by time, whichever is further.
double progress_of(const TrainConfig& config, const RunState& state) {
  const double by_steps = static_cast<double>(state.step) / static_cast<double>(std::max<int64_t>(1, config.steps));
  const double by_time = config.max_seconds > 0 ? state.train_seconds / config.max_seconds : 0;
  return std::min(1.0, std::max(by_steps, by_time));
}

}  // namespace

StepLoss step_loss(Compressor& compressor, const TrainingSet& data, const Config& config, int64_t step) {
  const auto seed = static_cast<uint64_t>(config.run.seed);
  compressor.set_dropout_generator(
      at::detail::createCPUGenerator(Random(seed, "dropout", static_cast<uint64_t>(step)).next()));
  StepLoss out;
  double weights = 0;
  for (const auto& [task, weight] : objectives_of(config, step)) {
    const TrainingSet::Example example = data.batch(seed, step, config.train.batch, task);
    const LossSum loss =
        decoder_loss(compressor.decoder(), compressor.prompt(compressor.compress(example.context), example.task));
    const Tensor weighted = loss.sum * (weight / static_cast<double>(std::max<int64_t>(1, loss.count)));
    out.loss = out.loss.defined() ? out.loss + weighted : weighted;
    out.tokens += example.tokens;
    weights += weight;
  }
  out.loss = out.loss / weights;
  return out;
}

namespace {

// What the log says of the steps since its last line.
struct Window {
  double loss = 0, seconds = 0;
  int64_t steps = 0, tokens = 0;
};

class TrainingRun {
 public:
  TrainingRun(Compressor& compressor, const TrainingSet& data, const Config& config, const Evaluate& evaluate)
      : compressor_(compressor),
        data_(data),
        config_(config),
        train_(config.train),
        evaluate_(evaluate),
        folder_(config.run.dir, config),
        optimizer_(trained_tensors(compressor), config.train),
        state_{.data_hash = data.hash()},
        progress_(cat("train ", compressor.config().method), by_time() ? train_.max_seconds : double(train_.steps),
                  by_time() ? "s of training" : "steps") {}

  TrainResult run() {
    resume();
    if (folder_.finished() && progress_of(train_, state_) >= 1) return {state_.step, state_.train_seconds, true};
    folder_.drop_metrics_after(state_.step);
    announce();
    compressor_.train();
    while (progress_of(train_, state_) < 1) {
      if (interrupted()) stop();
      step();
      if (state_.step % train_.log_interval == 0) write_log();
      if (evaluation_is_due()) evaluate();
      if (state_.step % train_.save_interval == 0) save();
    }
    if (evaluate_ && state_.last_eval_seconds != state_.train_seconds) evaluate();
    save();
    compressor_.eval();
    folder_.finish(compressor_);
    return {state_.step, state_.train_seconds, false};
  }

 private:
  bool by_time() const { return train_.max_seconds > 0; }
  void save() { folder_.save(state_, compressor_, optimizer_, train_.keep); }

  void resume() {
    const auto resumed = folder_.resume(compressor_, optimizer_);
    if (!resumed) return;
    if (resumed->data_hash != data_.hash()) {
      throw Error({.what = "the training data has changed since the last checkpoint",
                   .where = config_.run.dir,
                   .expected = resumed->data_hash,
                   .found = data_.hash()});
    }
    state_ = *resumed;
    if (progress_of(train_, state_) < 1) log::info(cat("going on from step ", state_.step));
  }

  void announce() const {
    const auto trained = static_cast<double>(compressor_.trained_parameters());
    const int64_t frozen = compressor_.decoder().config().parameters();
    log::info(cat("training ", compressor_.config().method, ": ", compressor_.trained_parameters(),
                  " trained parameters, ", frozen, " frozen (", fixed(100 * trained / static_cast<double>(frozen), 2),
                  " %), ", data_.size(), " contexts"));
  }

  [[noreturn]] void stop() {
    save();
    throw Error({.what = cat("interrupted; saved at step ", state_.step),
                 .where = config_.run.dir,
                 .hint = "run the same command again to go on"},
                Error::Kind::interrupted);
  }

  void step() {
    const double start = seconds_now();
    learning_rate_ = learning_rate(train_, state_.step, progress_of(train_, state_));
    optimizer_.zero_gradients();
    const StepLoss batch = step_loss(compressor_, data_, config_, state_.step);
    batch.loss.backward();
    gradient_norm_ = optimizer_.clip_gradients(train_.clip);
    const double loss = batch.loss.item<double>();
    if (!std::isfinite(loss) || !std::isfinite(gradient_norm_)) {
      throw Error({.what = cat("the loss or its gradient is not finite at step ", state_.step),
                   .where = config_.run.dir,
                   .found = cat("loss ", loss, ", gradient norm ", gradient_norm_),
                   .hint = "lower train.lr, or set train.clip"},
                  Error::Kind::failed_check);
    }
    optimizer_.step(learning_rate_);
    const double took = seconds_now() - start;
    ++state_.step;
    state_.tokens += batch.tokens;
    state_.train_seconds += took;
    window_.loss += loss;
    window_.seconds += took;
    window_.tokens += batch.tokens;
    ++window_.steps;
  }

  void write_log() {
    const auto steps = static_cast<double>(window_.steps);
    folder_.append_metrics({{"event", "step"},
                            {"step", state_.step},
                            {"loss", window_.loss / steps},
                            {"gradient_norm", gradient_norm_},
                            {"learning_rate", learning_rate_},
                            {"train_seconds", state_.train_seconds},
                            {"step_milliseconds", 1000 * window_.seconds / steps},
                            {"tokens_per_second", static_cast<double>(window_.tokens) / window_.seconds}});
    progress_.update(by_time() ? state_.train_seconds : static_cast<double>(state_.step),
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
    compressor_.eval();
    Json line = {{"event", "eval"},
                 {"step", state_.step},
                 {"train_seconds", state_.train_seconds},
                 {"train_tokens", state_.tokens}};
    try {
      line.update(evaluate_(compressor_));
    } catch (const Error& e) {
      if (e.kind() == Error::Kind::interrupted) stop();
      throw;
    }
    compressor_.train();
    folder_.append_metrics(line);
    log::info(cat(compressor_.config().method, " step ", state_.step, " after ", fixed(state_.train_seconds, 0),
                  " s: EM ", fixed(line.value("em_percent", 0.0), 1), ", F1 ",
                  fixed(line.value("f1_percent", 0.0), 1)));
    state_.last_eval_seconds = state_.train_seconds;
  }

  Compressor& compressor_;
  const TrainingSet& data_;
  const Config& config_;
  const TrainConfig& train_;
  const Evaluate& evaluate_;
  RunFolder folder_;
  AdamW optimizer_;
  RunState state_;
  Window window_;
  double learning_rate_ = 0, gradient_norm_ = 0;
  Progress progress_;
};

}  // namespace

TrainResult train(Compressor& compressor, const TrainingSet& data, const Config& config, const Evaluate& evaluate) {
  return TrainingRun(compressor, data, config, evaluate).run();
}

}  // namespace precis

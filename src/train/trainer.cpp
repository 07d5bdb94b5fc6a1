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

TrainResult train(Compressor& compressor, const TrainingSet& data, const Config& config, const Evaluate& evaluate) {
  const TrainConfig& t = config.train;
  RunFolder folder(config.run.dir, config);
  AdamW optimizer(trained_tensors(compressor), t);
  RunState state{.data_hash = data.hash()};
  if (auto resumed = folder.resume(compressor, optimizer)) {
    if (resumed->data_hash != data.hash()) {
      throw Error({.what = "the training data has changed since the last checkpoint",
                   .where = config.run.dir,
                   .expected = resumed->data_hash,
                   .found = data.hash()});
    }
    state = *resumed;
    if (folder.finished() && progress_of(t, state) >= 1) return {state.step, state.train_seconds, true};
    log::info(cat("going on from step ", state.step));
  }
  folder.drop_metrics_after(state.step);
  log::info(cat("training ", compressor.config().method, ": ", compressor.trained_parameters(), " trained parameters, ",
                compressor.decoder().config().parameters(), " frozen (",
                fixed(100.0 * static_cast<double>(compressor.trained_parameters()) /
                          static_cast<double>(compressor.decoder().config().parameters()),
                      2),
                " %), ", data.size(), " contexts"));

  const auto run_evaluation = [&] {
    compressor.eval();
    Json line = {{"event", "eval"},
                 {"step", state.step},
                 {"train_seconds", state.train_seconds},
                 {"train_tokens", state.tokens}};
    line.update(evaluate(compressor));
    compressor.train();
    folder.append_metrics(line);
    log::info(cat(compressor.config().method, " step ", state.step, " after ", fixed(state.train_seconds, 0), " s: EM ",
                  fixed(line.value("em_percent", 0.0), 1), ", F1 ", fixed(line.value("f1_percent", 0.0), 1)));
    state.last_eval_seconds = state.train_seconds;
  };
  const auto run_step = [&](double& loss_value, double& norm) {
    optimizer.zero_gradients();
    const StepLoss loss = step_loss(compressor, data, config, state.step);
    loss.loss.backward();
    norm = optimizer.clip_gradients(t.clip);
    loss_value = loss.loss.item<double>();
    if (!std::isfinite(loss_value) || !std::isfinite(norm)) {
      throw Error({.what = cat("the loss or its gradient is not finite at step ", state.step),
                   .where = config.run.dir,
                   .found = cat("loss ", loss_value, ", gradient norm ", norm),
                   .hint = "lower train.lr, or set train.clip"},
                  Error::Kind::failed_check);
    }
    optimizer.step(learning_rate(t, state.step, progress_of(t, state)));
    return loss.tokens;
  };

  const bool by_time_first = t.max_seconds > 0;
  Progress progress(cat("train ", compressor.config().method),
                    by_time_first ? t.max_seconds : static_cast<double>(t.steps),
                    by_time_first ? "s of training" : "steps");
  compressor.train();
  double window_loss = 0, window_seconds = 0;
  int64_t window_steps = 0, window_tokens = 0, saved_step = state.step;
  while (progress_of(t, state) < 1) {
    if (interrupted()) {
      folder.save(state, compressor, optimizer, t.keep);
      throw Error({.what = cat("interrupted; saved at step ", state.step),
                   .where = config.run.dir,
                   .hint = "run the same command again to go on"},
                  Error::Kind::interrupted);
    }
    const double start = seconds_now(), rate = learning_rate(t, state.step, progress_of(t, state));
    double loss = 0, norm = 0;
    const int64_t tokens = run_step(loss, norm);
    const double took = seconds_now() - start;
    ++state.step;
    state.tokens += tokens;
    state.train_seconds += took;
    window_loss += loss;
    window_seconds += took;
    window_tokens += tokens;
    ++window_steps;
    if (state.step % t.log_interval == 0) {
      const double n = static_cast<double>(window_steps);
      folder.append_metrics({{"event", "step"},
                             {"step", state.step},
                             {"loss", window_loss / n},
                             {"gradient_norm", norm},
                             {"learning_rate", rate},
                             {"train_seconds", state.train_seconds},
                             {"step_milliseconds", 1000 * window_seconds / n},
                             {"tokens_per_second", static_cast<double>(window_tokens) / window_seconds}});
      progress.update(by_time_first ? state.train_seconds : static_cast<double>(state.step),
                      cat("step ", state.step, ", loss ", fixed(window_loss / n, 3)));
      window_loss = window_seconds = 0;
      window_steps = window_tokens = 0;
    }
    const bool by_steps = t.eval_interval > 0 && state.step % t.eval_interval == 0;
    const bool by_time = t.eval_seconds > 0 && state.train_seconds - state.last_eval_seconds >= t.eval_seconds;
    if (evaluate && (by_steps || by_time)) run_evaluation();
    if (state.step % t.save_interval == 0) {
      folder.save(state, compressor, optimizer, t.keep);
      saved_step = state.step;
    }
  }
  if (evaluate && state.last_eval_seconds != state.train_seconds) run_evaluation();
  if (saved_step != state.step || state.step == 0) folder.save(state, compressor, optimizer, t.keep);
  compressor.eval();
  folder.finish(compressor);
  return {state.step, state.train_seconds, false};
}

}  // namespace precis

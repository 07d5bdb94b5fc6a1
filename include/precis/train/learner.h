// The trainer's interface to a model: named tensors and the loss of a batch. Implemented by compressors around a frozen
// decoder and by decoders trained on text; steps, stages, checkpoints and processes are the same for both.
#pragma once

#include <filesystem>

#include "precis/compress/compressor.h"
#include "precis/data/training_set.h"
#include "precis/train/objective.h"
#include "precis/train/step_seconds.h"

namespace precis {

class Learner {
 public:
  virtual ~Learner() = default;

  virtual std::string name() const = 0;                                       // for the log
  virtual const Decoder& decoder() const = 0;                                 // for its shape, dtype and device
  virtual TensorMap tensors() const = 0;                                      // trained tensors by name, as views
  virtual void load(const TensorMap& tensors, const std::string& where) = 0;  // Error unless names and shapes are equal

  virtual double lr_factor(const std::string& tensor) const = 0;  // of the model's own, beside train.lr_factors
  virtual void set_training(bool training) = 0;                   // false: evaluation
  virtual void begin_step(uint64_t seed, int64_t step) = 0;
  virtual void set_dropout_generator(const at::Generator& generator) = 0;
  // Sum of the losses of a batch, differentiable in the tensors. Adds the time of its parts to `seconds`.
  virtual LossSum loss(const Objective& objective, const TrainingSet::Example& example, const ObjectiveConfig& settings,
                       Stopwatch& watch, StepSeconds& seconds) = 0;

  virtual std::string file() const = 0;  // name of its tensors' file in a checkpoint, without .safetensors
  virtual void describe(const std::filesystem::path& checkpoint) const = 0;  // writes a checkpoint's other files
  // Throws Error if another learner wrote this checkpoint, for instance around another base model.
  virtual void require_own(const std::filesystem::path& checkpoint) const = 0;
  virtual bool is_exported(const std::filesystem::path& run) const = 0;
  virtual void write_export(const std::filesystem::path& run) const = 0;  // atomically, into a finished run's folder
};

// A compressor: only its own tensors are trained, the decoder is frozen.
class CompressorLearner : public Learner {
 public:
  explicit CompressorLearner(Compressor& compressor) : compressor_(compressor) {}

  std::string name() const override { return compressor_.config().method; }
  const Decoder& decoder() const override { return compressor_.decoder(); }
  TensorMap tensors() const override;
  void load(const TensorMap& tensors, const std::string& where) override;
  double lr_factor(const std::string& tensor) const override { return compressor_.lr_factor(tensor); }
  void set_training(bool training) override;
  void begin_step(uint64_t seed, int64_t step) override;  // samples the ratio if there are several
  void set_dropout_generator(const at::Generator& generator) override { compressor_.set_dropout_generator(generator); }
  LossSum loss(const Objective& objective, const TrainingSet::Example& example, const ObjectiveConfig& settings,
               Stopwatch& watch, StepSeconds& seconds) override;
  std::string file() const override { return "compressor"; }
  void describe(const std::filesystem::path& checkpoint) const override;
  void require_own(const std::filesystem::path& checkpoint) const override;
  bool is_exported(const std::filesystem::path& run) const override;
  void write_export(const std::filesystem::path& run) const override;

 private:
  Compressor& compressor_;
};

}  // namespace precis

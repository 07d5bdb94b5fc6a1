// A Llama-shaped decoder as a Learner: next-token prediction on rows of text.
#pragma once

#include "precis/train/learner.h"
#include "precis/weights/checkpoint.h"

namespace precis {

class DecoderLearner : public Learner {
 public:
  // Llama's initial values: N(0, 0.02), smaller for products that write to the residual stream; RMSNorm gains 1.
  // `start`: initial weights, or nullptr. `dtype`: of products; the weights are fp32.
  DecoderLearner(DecoderConfig config, uint64_t seed, const Checkpoint* start, at::ScalarType dtype,
                 std::function<void(const DecoderLearner&)> write_export, std::filesystem::path exported);

  std::string name() const override { return "a decoder"; }
  const Decoder& decoder() const override { return *shape_; }
  TensorMap tensors() const override { return trained_; }
  void load(const TensorMap& tensors, const std::string& where) override;
  double lr_factor(const std::string&) const override { return 1; }
  void set_training(bool) override {}
  void begin_step(uint64_t, int64_t) override {}
  void set_dropout_generator(const at::Generator&) override {}
  LossSum loss(const Objective& objective, const TrainingSet::Example& example, const ObjectiveConfig& settings,
               Stopwatch& watch, StepSeconds& seconds) override;
  std::string file() const override { return "decoder"; }
  void describe(const std::filesystem::path&) const override {}
  void require_own(const std::filesystem::path&) const override {}  // the configuration and the data tell it
  bool is_exported(const std::filesystem::path&) const override { return std::filesystem::exists(exported_); }
  void write_export(const std::filesystem::path&) const override { write_export_(*this); }

  const TensorMap& all_tensors() const { return tensors_; }

  // Without gradients, over the labels with the greatest weight: the sum of losses, the number of correct predictions
  // and the number of labels.
  struct Scores {
    double loss = 0, right = 0, count = 0;
  };
  Scores scores(const TrainingSet::Example& example) const;

 private:
  struct Losses {
    Tensor each, logits, targets, weights;  // [n], [n, V], [n], [n] or undefined, of the supervised rows
  };
  Losses losses(const TrainingSet::Example& example) const;

  DecoderConfig config_;
  at::ScalarType dtype_;
  std::shared_ptr<const Decoder> shape_;
  TensorMap tensors_, trained_;
  std::function<void(const DecoderLearner&)> write_export_;
  std::filesystem::path exported_;
};

}  // namespace precis

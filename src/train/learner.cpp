#include "precis/train/learner.h"

#include "precis/compress/checkpoint.h"
#include "precis/core/file.h"
#include "precis/core/random.h"

namespace precis {
namespace fs = std::filesystem;

TensorMap CompressorLearner::tensors() const { return trained_tensors(compressor_); }

void CompressorLearner::load(const TensorMap& tensors, const std::string& where) {
  load_trained_tensors(compressor_, tensors, where);
}

void CompressorLearner::set_training(bool training) {
  compressor_.train(training);
  if (!training) compressor_.set_ratio(compressor_.config().ratio);
}

void CompressorLearner::begin_step(uint64_t seed, int64_t step) {
  const auto& ratios = compressor_.config().ratio.values;
  if (ratios.size() > 1) compressor_.set_ratio(Random(seed, "ratio", static_cast<uint64_t>(step)).pick(ratios));
}

LossSum CompressorLearner::loss(const Objective& objective, const TrainingSet::Example& example,
                                const ObjectiveConfig& settings, Stopwatch& watch, StepSeconds& seconds) {
  const Memory memory = compressor_.compress(example.context);
  watch.add_to(seconds.encode);
  LossSum loss;
  if (objective.name == "distill") {
    const TaskTokens task = without_first_label(example.task);
    loss = distillation_loss(compressor_.decoder(), compressor_.prompt(memory, task), example.context, task,
                             compressor_.text_bos(), settings);
  } else {
    loss = decoder_loss(compressor_.decoder(), compressor_.prompt(memory, example.task));
  }
  // The sum is divided by the count of the whole batch later.
  if (const Tensor own = compressor_.auxiliary_loss(); own.defined()) loss.sum = loss.sum + own * loss.count;
  watch.add_to(seconds.decode);
  return loss;
}

// Makes a checkpoint usable on its own.
void CompressorLearner::describe(const fs::path& checkpoint) const { write_compressor_json(checkpoint, compressor_); }

void CompressorLearner::require_own(const fs::path& checkpoint) const {
  require_trained_around(checkpoint, compressor_.decoder().fingerprint(), compressor_.tokenizer_hash());
}

bool CompressorLearner::is_exported(const fs::path& run) const {
  return fs::exists(run / "compressor" / "compressor.json");
}

void CompressorLearner::write_export(const fs::path& run) const {
  write_folder_atomically(run / "compressor", [&](const fs::path& folder) { save_compressor(folder, compressor_); });
}

}  // namespace precis

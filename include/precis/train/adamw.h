// AdamW (Loshchilov & Hutter, arXiv 1711.05101) on LibTorch's fused kernel, with its state keyed by parameter name.
#pragma once

#include <functional>

#include "precis/config/config.h"
#include "precis/weights/safetensors.h"

namespace precis {

class AdamW {
 public:
  // `lr_factor`: a factor on the learning rate by tensor name, which config.lr_factors multiplies.
  AdamW(
      TensorMap parameters, const TrainConfig& config,
      const std::function<double(const std::string&)>& lr_factor = [](const std::string&) { return 1; });

  // One update at `learning_rate`. Parameters without a gradient stay unchanged.
  void step(double learning_rate);
  void zero_gradients();

  // Scales the gradients down to a global norm of at most `clip` (0: never). Returns the norm before scaling.
  double clip_gradients(double clip);

  std::vector<Tensor> parameters() const;  // in order of name
  // Moves the gradients out: one per parameter in order of name, undefined if there is none.
  std::vector<Tensor> take_gradients();
  void set_gradients(const std::vector<Tensor>& gradients);
  void forget();  // resets moments and step counts

  // "<name>.first_moment", "<name>.second_moment", "<name>.steps".
  TensorMap state() const;
  void load_state(const TensorMap& state, const std::string& where);

 private:
  struct Slot {
    std::string name;
    double factor;  // on the learning rate
    Tensor parameter, first_moment, second_moment, steps;
  };
  std::vector<Slot> slots_;
  double beta1_, beta2_, epsilon_, weight_decay_;
};

// Learning rate at a stage's `step` and `progress` (0 to 1): linear warm-up, then the schedule down to `final_share` of
// the peak.
double learning_rate(const StageConfig& stage, double final_share, int64_t step, double progress);

}  // namespace precis

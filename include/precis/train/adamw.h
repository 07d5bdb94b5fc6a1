// AdamW (Loshchilov & Hutter, arXiv 1711.05101) on LibTorch's fused kernel; its state is kept by parameter name.
#pragma once

#include "precis/config/config.h"
#include "precis/weights/safetensors.h"

namespace precis {

class AdamW {
 public:
  AdamW(TensorMap parameters, const TrainConfig& config);

  // One update at `learning_rate` from the gradients there are; parameters without one are left as they are.
  void step(double learning_rate);
  void zero_gradients();

  // Norm of all gradients together, before they are scaled down to at most `clip` (0: never).
  double clip_gradients(double clip);

  // "<name>.first_moment", "<name>.second_moment", "<name>.steps".
  TensorMap state() const;
  void load_state(const TensorMap& state, const std::string& where);

 private:
  struct Slot {
    std::string name;
    Tensor parameter, first_moment, second_moment, steps;
  };
  std::vector<Slot> slots_;
  double beta1_, beta2_, epsilon_, weight_decay_;
};

// Learning rate at `step` when `progress` (0 to 1) of the run is behind: linear warm-up, then the schedule.
double learning_rate(const TrainConfig& config, int64_t step, double progress);

}  // namespace precis

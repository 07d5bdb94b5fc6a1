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

  std::vector<Tensor> parameters() const;  // in order of name
  // The gradients, one per parameter in order of name, undefined where there is none; takes them away.
  std::vector<Tensor> take_gradients();
  void set_gradients(const std::vector<Tensor>& gradients);
  void forget();  // moments and step counts start anew

  // "<name>.first_moment", "<name>.second_moment", "<name>.steps".
  TensorMap state() const;
  void load_state(const TensorMap& state, const std::string& where);

 private:
  struct Slot {
    std::string name;
    double factor;  // of train.lr_factors
    Tensor parameter, first_moment, second_moment, steps;
  };
  std::vector<Slot> slots_;
  double beta1_, beta2_, epsilon_, weight_decay_;
};

// Learning rate at a stage's `step` when `progress` (0 to 1) of it is behind: linear warm-up, then the schedule down to
// `final_share` of the peak.
double learning_rate(const StageConfig& stage, double final_share, int64_t step, double progress);

}  // namespace precis

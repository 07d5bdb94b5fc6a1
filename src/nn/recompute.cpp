#include "precis/nn/recompute.h"

#include <torch/autograd.h>
#include <torch/types.h>

namespace precis {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

thread_local bool recompute = false;

struct BlockHolder : torch::CustomClassHolder {
  explicit BlockHolder(Block b) : block(std::move(b)) {}
  Block block;
};

class Recomputed : public torch::autograd::Function<Recomputed> {
 public:
  // tensors: the block's `inputs` inputs, then the trained ones.
  static variable_list forward(AutogradContext* context, at::TensorList tensors, int64_t inputs,
                               const c10::intrusive_ptr<BlockHolder>& holder) {
    context->save_for_backward(variable_list(tensors.begin(), tensors.end()));
    context->saved_data["inputs"] = inputs;
    context->saved_data["block"] = c10::IValue::make_capsule(holder);
    return holder->block(variable_list(tensors.begin(), tensors.begin() + inputs));
  }

  static variable_list backward(AutogradContext* context, const variable_list& upstream) {
    const variable_list saved = context->get_saved_variables();
    const auto inputs = static_cast<size_t>(context->saved_data["inputs"].toInt());
    const auto holder = c10::static_intrusive_pointer_cast<BlockHolder>(context->saved_data["block"].toCapsule());
    const at::AutoGradMode recording(true);
    variable_list given, sources;
    std::vector<size_t> places;
    for (size_t i = 0; i < saved.size(); ++i) {
      Tensor tensor = i < inputs ? saved[i].detach().set_requires_grad(saved[i].requires_grad()) : saved[i];
      if (i < inputs) given.push_back(tensor);
      if (!tensor.requires_grad()) continue;
      sources.push_back(tensor);
      places.push_back(i);
    }
    variable_list ends, gradients_of_ends, out(saved.size() + 2);  // + 2: arguments that are not tensors
    const variable_list again = holder->block(given);
    for (size_t i = 0; i < again.size(); ++i) {
      if (!again[i].requires_grad() || !upstream[i].defined()) continue;
      ends.push_back(again[i]);
      gradients_of_ends.push_back(upstream[i]);
    }
    const variable_list gradients = torch::autograd::grad(ends, sources, gradients_of_ends, std::nullopt, false, true);
    for (size_t i = 0; i < places.size(); ++i) out[places[i]] = gradients[i];
    return out;
  }
};

}  // namespace

RecomputeGuard::RecomputeGuard(bool on) : before_(recompute) { recompute = on; }
RecomputeGuard::~RecomputeGuard() { recompute = before_; }

std::vector<Tensor> run_block(const Block& block, const std::vector<Tensor>& inputs,
                              const std::vector<Tensor>& trained) {
  if (!recompute || !at::GradMode::is_enabled()) return block(inputs);
  variable_list tensors = inputs;
  tensors.insert(tensors.end(), trained.begin(), trained.end());
  return Recomputed::apply(at::TensorList(tensors), static_cast<int64_t>(inputs.size()),
                           c10::make_intrusive<BlockHolder>(block));
}

}  // namespace precis

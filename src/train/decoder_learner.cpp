#include "decoder_learner.h"

#include <ATen/CPUGeneratorImpl.h>
#include <torch/types.h>

#include <cmath>

#include "precis/compress/checkpoint.h"
#include "precis/core/strings.h"

namespace precis {
namespace {

// Tensors in memory as a checkpoint. A decoder built from them is differentiable in them.
class TensorsInMemory : public Checkpoint {
 public:
  explicit TensorsInMemory(const TensorMap& tensors) : tensors_(tensors) {}
  bool has(const std::string& name) const override { return tensors_.count(name) > 0; }
  Tensor tensor(const std::string& name) const override { return tensors_.at(name); }
  std::set<std::string> names() const override {
    std::set<std::string> out;
    for (const auto& [name, tensor] : tensors_) out.insert(name);
    return out;
  }
  std::string fingerprint() const override { return ""; }
  std::string path() const override { return "a decoder in training"; }

 private:
  const TensorMap& tensors_;
};

TensorMap initial_tensors(const DecoderConfig& c, uint64_t seed) {
  const at::Generator generator = at::detail::createCPUGenerator(seed);
  TensorMap out;
  const auto add = [&](const std::string& name, std::vector<int64_t> shape, double deviation) {
    out[name] = torch::empty(shape).normal_(0, deviation, generator);
  };
  const int64_t q = c.heads * c.head_dim, kv = c.kv_heads * c.head_dim;
  const double small = 0.02 / std::sqrt(2 * static_cast<double>(c.layers));
  add("model.embed_tokens.weight", {c.vocabulary, c.hidden}, 0.02);
  out["model.norm.weight"] = torch::ones({c.hidden});
  for (int64_t i = 0; i < c.layers; ++i) {
    const std::string p = cat("model.layers.", i, ".");
    out[p + "input_layernorm.weight"] = torch::ones({c.hidden});
    out[p + "post_attention_layernorm.weight"] = torch::ones({c.hidden});
    add(p + "self_attn.q_proj.weight", {q, c.hidden}, 0.02);
    add(p + "self_attn.k_proj.weight", {kv, c.hidden}, 0.02);
    add(p + "self_attn.v_proj.weight", {kv, c.hidden}, 0.02);
    add(p + "self_attn.o_proj.weight", {c.hidden, q}, small);
    add(p + "mlp.gate_proj.weight", {c.intermediate, c.hidden}, 0.02);
    add(p + "mlp.up_proj.weight", {c.intermediate, c.hidden}, 0.02);
    add(p + "mlp.down_proj.weight", {c.hidden, c.intermediate}, small);
  }
  return out;
}

}  // namespace

DecoderLearner::DecoderLearner(DecoderConfig config, uint64_t seed, const Checkpoint* start, at::ScalarType dtype,
                               std::function<void(const DecoderLearner&)> write_export, std::filesystem::path exported)
    : config_(std::move(config)),
      dtype_(dtype),
      shape_(Decoder::shape_only(config_)),
      tensors_(initial_tensors(config_, seed)),
      write_export_(std::move(write_export)),
      exported_(std::move(exported)) {
  for (auto& [name, tensor] : tensors_) {
    if (start != nullptr) tensor = start->tensor(name, tensor.sizes()).to(torch::kFloat).clone();
    if (tensor.dim() == 2) trained_[name] = tensor.requires_grad_();
  }
}

void DecoderLearner::load(const TensorMap& tensors, const std::string& where) {
  copy_tensors(trained_, tensors, "the decoder", where);
}

DecoderLearner::Losses DecoderLearner::losses(const TrainingSet::Example& example) const {
  const Decoder decoder(config_, TensorsInMemory(tensors_), dtype_, torch::kCPU);
  const TaskTokens& task = example.task;
  const int64_t T = task.ids.size(1) - 1;  // the last token is a target only
  const Tensor ids = task.ids.narrow(1, 0, T), labels = task.labels.narrow(1, 1, T).flatten(),
               places = labels.ne(-100).nonzero().squeeze(1);
  const Tensor positions = torch::arange(T).unsqueeze(0).expand_as(ids);
  const Tensor rows = decoder.hidden({decoder.embed(ids), task.lengths.clamp_max(T), positions});
  Losses out;
  out.targets = labels.index_select(0, places);
  out.logits = decoder.logits(rows.flatten(0, 1).index_select(0, places)).to(torch::kFloat);
  out.each = at::cross_entropy_loss(out.logits, out.targets, {}, at::Reduction::None);
  if (example.weights.defined()) out.weights = example.weights.narrow(1, 1, T).flatten().index_select(0, places);
  return out;
}

LossSum DecoderLearner::loss(const Objective&, const TrainingSet::Example& example, const ObjectiveConfig&,
                             Stopwatch& watch, StepSeconds& seconds) {
  const Losses l = losses(example);
  watch.add_to(seconds.decode);
  if (!l.weights.defined()) return {l.each.sum(), static_cast<double>(l.each.numel())};
  return {(l.each * l.weights).sum(), l.weights.sum().item<double>()};
}

DecoderLearner::Scores DecoderLearner::scores(const TrainingSet::Example& example) const {
  const at::NoGradGuard no_gradient;
  const Losses l = losses(example);
  const Tensor counted =
      l.weights.defined() ? l.weights.eq(l.weights.max()) : torch::ones_like(l.each).to(torch::kBool);
  return {l.each.masked_select(counted).sum().item<double>(),
          l.logits.argmax(1).eq(l.targets).masked_select(counted).sum().item<double>(), counted.sum().item<double>()};
}

}  // namespace precis

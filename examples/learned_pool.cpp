// A custom compressor with its own settings, segments, adapters and loss. Slot j of a segment is a weighted mean of the
// encoder's last hidden states of tokens j r ... (j + 1) r - 1; a learned query gives the weights. The auxiliary loss
// keeps the weights from collapsing onto one token. Its settings are compressor.learned-pool.*.
#include <precis/app/program.h>
#include <precis/compress/encoder_parts.h>
#include <precis/compress/prompt.h>
#include <torch/types.h>

namespace {

using namespace precis;

struct LearnedPoolSettings {
  double temperature = 1, spread = 0.01;
  template <class V>
  void visit(V& v) {
    v("temperature", temperature, "temperature of the softmax over a slot's tokens", at_least(1e-6));
    v("spread", spread, "weight of the auxiliary loss: mean negative entropy of the pooling weights in nats",
      at_least(0));
  }
};

class LearnedPool : public Compressor {
 public:
  static Method about() {
    return {.settings = MethodSettings::of<LearnedPoolSettings>("learned-pool"), .published = [](CompressorConfig& c) {
              c.segment_length = 128;
              c.projector = "none";
              c.lora = {.rank = 8, .alpha = 16, .dropout = 0, .targets = {"q_proj", "v_proj"}};
            }};
  }

  LearnedPool(const CompressorConfig& config, const Surroundings& surroundings)
      : Compressor(config, surroundings), own_(config.settings.get<LearnedPoolSettings>()) {
    require_embedding_by_runs(config);
    lora_ = make_lora(config.lora, decoder(), generator());
    if (lora_) register_module("lora", lora_);
    query_ = learned_rows("query", 0, 0, 0.02);  // [D]
  }

  Memory compress(const TokenBatch& context) override {
    check_contexts(context, decoder(), config());
    const SegmentBatch batch = cut_segments(context, config().segment_length);
    const int64_t n = batch.ids.size(0), width = batch.ids.size(1), r = ratio(), slots = (width + r - 1) / r;
    const Tensor states = decoder().hidden({.rows = decoder().embed(batch.ids),
                                            .position_ids = torch::arange(width).unsqueeze(0).expand({n, -1}),
                                            .plan = AttentionPlan::causal(),
                                            .adapters = {lora_.get()}});  // [n, width, D]
    const auto by_run = [&](const Tensor& x, double fill) {               // [n, width, ...] to [n, slots, r, ...]
      const Tensor flat = x.dim() == 2 ? x.unsqueeze(2) : x;
      return torch::constant_pad_nd(flat, {0, 0, 0, slots * r - width}, fill).unflatten(1, {slots, r});
    };
    const Tensor valid = length_mask(batch.lengths.to(states.device()), width);
    const Tensor scores = torch::matmul(states.to(torch::kFloat), query_) / own_.temperature;  // [n, width]
    const Tensor masked = by_run(scores.masked_fill(valid.logical_not(), -1e9), -1e9);         // [n, slots, r, 1]
    const Tensor weights = masked.softmax(2);
    const Tensor pooled = (weights * by_run(states.to(torch::kFloat), 0)).sum(2);  // [n, slots, D]

    std::vector<int64_t> slots_of_segment;
    for (int64_t i = 0; i < n; ++i) slots_of_segment.push_back(entries_of_segment(batch.lengths[i].item<int64_t>()));
    const Tensor filled = by_run(valid.to(torch::kFloat), 0).amax(2).squeeze(-1);  // 1: a slot with tokens
    const Tensor negative_entropy = (weights * (weights + 1e-9).log()).sum({2, 3});
    auxiliary_ = own_.spread * (negative_entropy * filled).sum() / filled.sum();

    Memory memory = empty_memory(context);
    const Tensor rows = gather_entries(pooled, place_slots(memory, batch, slots_of_segment, slots));
    place_memory(memory);
    const Tensor content = rows.to(decoder().dtype());
    memory.content = EmbeddingMemory{content, content};
    return memory;
  }

  DecoderInput prompt(const Memory& memory, const TaskTokens& task) const override {
    return embedding_prompt(decoder(), -1, {}, memory, task);
  }

  Tensor auxiliary_loss() const override { return auxiliary_; }
  double lr_factor(const std::string& tensor) const override { return tensor == "query" ? 10 : 1; }

  void set_dropout_generator(const at::Generator& generator) override {
    if (lora_) lora_->set_dropout_generator(generator);
  }

 private:
  LearnedPoolSettings own_;
  std::shared_ptr<LoraSet> lora_;
  Tensor query_, auxiliary_;
};

}  // namespace

int main(int argc, char** argv) {
  CompressorRegistry registry = CompressorRegistry::built_in();
  const auto make = [](const auto& config, const auto& surroundings) {
    return std::make_shared<LearnedPool>(config, surroundings);
  };
  registry.add("learned-pool", make, LearnedPool::about());
  return run_program(argc, argv, registry);
}

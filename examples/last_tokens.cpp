// A custom compressor: the memory is one learned row, then the embeddings of the last 1 / ratio of the context's
// tokens. Registered as "last-tokens", it trains, resumes, evaluates and reports like the built-in methods.
#include <precis/app/program.h>
#include <precis/compress/prompt.h>
#include <torch/types.h>

namespace {

using namespace precis;

class LastTokens : public Compressor {
 public:
  LastTokens(const CompressorConfig& config, const Surroundings& surroundings) : Compressor(config, surroundings) {
    row_ = learned_rows("row", 1, 0, 0.02);
  }

  Memory compress(const TokenBatch& context) override {
    const int64_t B = context.lengths.size(0), D = decoder().config().hidden;
    Memory memory = empty_memory(context);
    memory.lengths = (context.lengths + ratio() - 1).div(ratio(), "floor") + 1;  // [B]
    const int64_t M = memory.lengths.max().item<int64_t>();
    std::vector<Tensor> rows;
    for (int64_t b = 0; b < B; ++b) {
      const int64_t kept = memory.lengths[b].item<int64_t>() - 1, length = context.lengths[b].item<int64_t>();
      const Tensor tail = decoder().embed(context.ids[b].narrow(0, length - kept, kept));  // [kept, D]
      rows.push_back(torch::cat({row_.to(tail.scalar_type()), tail, tail.new_zeros({M - kept - 1, D})}));
    }
    const Tensor stacked = torch::stack(rows);  // [B, M, D]
    memory.segments = torch::zeros({B, M}, torch::kLong);
    place_memory(memory);
    memory.content = EmbeddingMemory{stacked, stacked};
    return memory;
  }

  DecoderInput prompt(const Memory& memory, const TaskTokens& task) const override {
    return embedding_prompt(decoder(), -1, {}, memory, task);
  }

 private:
  Tensor row_;  // [1, D]
};

}  // namespace

int main(int argc, char** argv) {
  CompressorRegistry registry = CompressorRegistry::built_in();
  registry.add("last-tokens", [](const auto& config, const auto& surroundings) {
    return std::make_shared<LastTokens>(config, surroundings);
  });
  return run_program(argc, argv, registry);
}

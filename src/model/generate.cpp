#include "precis/model/generate.h"

#include <ATen/CPUGeneratorImpl.h>
#include <torch/types.h>

#include <algorithm>
#include <chrono>

#include "precis/core/error.h"
#include "precis/core/strings.h"
#include "precis/nn/device_graph.h"

namespace precis {
namespace {

using Clock = std::chrono::steady_clock;

// With more rows, LibTorch's matrix products are faster.
constexpr int64_t most_rows = 16;

// With fewer new tokens, capturing a GPU graph costs more than it saves.
constexpr int64_t least_tokens_for_a_graph = 8;

// Below it, sampling is argmax up to ties, and much smaller values would overflow.
constexpr double least_temperature = 1e-4;

// Next ids [B] from logits [B, V]. Samples on the CPU, so that a seed gives the same text on every device.
Tensor choose(Tensor logits, const GenerateOptions& options, at::Generator& generator) {
  if (options.temperature < least_temperature) return logits.argmax(-1);
  logits = logits.cpu().to(torch::kFloat) / options.temperature;
  if (options.top_k > 0 && options.top_k < logits.size(-1)) {
    const Tensor smallest_kept = std::get<0>(logits.topk(options.top_k)).narrow(-1, options.top_k - 1, 1);
    logits = logits.masked_fill(logits < smallest_kept, -INFINITY);
  }
  if (options.top_p < 1) {
    const auto [sorted, order] = logits.sort(-1, true);
    const Tensor before = sorted.softmax(-1).cumsum(-1) - sorted.softmax(-1);  // mass of likelier tokens
    logits = logits.masked_fill(
        torch::zeros_like(before, torch::kBool).scatter(-1, order, before >= std::max(options.top_p, 1e-9)), -INFINITY);
  }
  return logits.softmax(-1).multinomial(1, false, generator).squeeze(-1);
}

// The logits of the first n ids; 0: all. Models may have more rows than their tokenizer has tokens.
Tensor within_vocabulary(const Tensor& logits, int64_t n) {
  return n == 0 || n >= logits.size(-1) ? logits : logits.narrow(-1, 0, n);
}

// Reads one token per context and returns the next tokens' logits.
class TokenReader {
 public:
  TokenReader(const Decoder& decoder, KvCache& cache, Tensor position, bool fast, int64_t most_tokens)
      : decoder_(decoder), cache_(cache), position_(std::move(position)) {
    const int64_t batch = position_.size(0);
    ids_ = torch::zeros({batch}, position_.options());
    one_ = torch::ones({batch}, torch::kLong);
    if (!fast) return;
    if (decoder.row_weights() != nullptr && batch <= most_rows) by_rows_.emplace(*decoder.row_weights(), cache);
    if (most_tokens >= least_tokens_for_a_graph && DeviceGraph::is_available(decoder.device())) {
      graph_.emplace(decoder.device());
      cache.show_whole();
    }
  }

  // ids: int64 [B]. Returns logits [B, V], valid until the next call.
  const Tensor& next(const Tensor& ids) {
    position_.add_(1);
    if (by_rows_) return by_rows_->next(ids, position_);
    ids_.copy_(ids);
    const auto read = [this] {
      const Tensor rows = decoder_.embed(ids_.unsqueeze(1));
      logits_ = decoder_.logits(decoder_.hidden({rows, one_, position_}, &cache_).squeeze(1));
    };
    graph_ ? graph_->run(read) : read();
    return logits_;
  }

 private:
  const Decoder& decoder_;
  KvCache& cache_;
  std::optional<RowDecoder> by_rows_;
  std::optional<DeviceGraph> graph_;
  Tensor position_;            // [B, 1], of the last token read
  Tensor ids_, one_, logits_;  // the graph's inputs and output, at fixed addresses
};

void refuse_too_long(const Decoder& decoder, const DecoderInput& input, int64_t new_tokens) {
  const int64_t last = input.position_ids.max().item<int64_t>() + new_tokens;
  if (last > decoder.config().max_positions) {
    throw Error({.what = "the prompt and the answer are longer than the decoder's context window",
                 .expected = cat("at most ", decoder.config().max_positions, " positions"),
                 .found = cat(last)});
  }
}

}  // namespace

std::vector<std::vector<int64_t>> generate(const Decoder& decoder, const DecoderInput& input,
                                           const GenerateOptions& options, const OnToken& on_token,
                                           GenerateSeconds* seconds) {
  const c10::InferenceMode inference;
  const auto start = Clock::now();
  const DecoderConfig& config = decoder.config();
  const int64_t batch = input.rows.size(0);
  refuse_too_long(decoder, input, options.max_new_tokens);
  at::Generator generator = at::detail::createCPUGenerator(options.seed);

  const int64_t capacity = (input.past ? input.past->entries() : 0) + input.rows.size(1) + options.max_new_tokens;
  KvCache cache(config.layers, batch, config.kv_heads, capacity, config.head_dim,
                torch::TensorOptions().dtype(decoder.dtype()).device(decoder.device()));
  if (input.past) cache.start_from(*input.past);

  const Tensor last_row = (input.lengths - 1).to(decoder.device()).view({batch, 1});
  const Tensor states = decoder.hidden(input, &cache);
  const Tensor rows = states.gather(1, last_row.unsqueeze(-1).expand({-1, 1, states.size(2)}));  // [B, 1, D]
  std::optional<TokenReader> reader;  // outlives the logits, which may use its graph's memory
  Tensor logits = within_vocabulary(decoder.logits(rows.squeeze(1)), options.vocabulary);
  if (logits.isnan().any().item<bool>()) {
    throw Error({.what = "the logits are not numbers",
                 .where = "generate",
                 .hint = "the model's weights or the memory hold NaN or infinity"});
  }
  auto prefilled = start;

  std::vector<std::vector<int64_t>> out(static_cast<size_t>(batch));
  std::vector<bool> done(static_cast<size_t>(batch), false);
  for (int64_t step = 0; step < options.max_new_tokens; ++step) {
    const Tensor next = choose(logits, options, generator);
    const Tensor on_cpu = next.cpu();
    if (step == 0) prefilled = Clock::now();  // the copy has waited for the device
    for (int64_t b = 0; b < batch; ++b) {
      const auto row = static_cast<size_t>(b);
      if (done[row]) continue;
      const int64_t id = on_cpu.data_ptr<int64_t>()[b];
      done[row] = std::find(options.end_ids.begin(), options.end_ids.end(), id) != options.end_ids.end();
      if (done[row]) continue;
      out[row].push_back(id);
      if (on_token && !on_token(b, id)) done[row] = true;
    }
    if (std::all_of(done.begin(), done.end(), [](bool d) { return d; }) || step + 1 == options.max_new_tokens) break;
    if (!reader) {
      reader.emplace(decoder, cache, input.position_ids.to(decoder.device()).gather(1, last_row), options.by_rows,
                     options.max_new_tokens);
    }
    logits = within_vocabulary(reader->next(next), options.vocabulary);
  }
  if (seconds) {
    seconds->prefill += std::chrono::duration<double>(prefilled - start).count();
    seconds->decode += std::chrono::duration<double>(Clock::now() - prefilled).count();
  }
  return out;
}

}  // namespace precis

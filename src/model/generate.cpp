#include "precis/model/generate.h"

#include <ATen/CPUGeneratorImpl.h>
#include <torch/torch.h>

#include <algorithm>
#include <chrono>

#include "precis/core/error.h"
#include "precis/core/strings.h"

namespace precis {
namespace {

using Clock = std::chrono::steady_clock;

// Beyond, LibTorch's matrix products are faster.
constexpr int64_t most_rows = 16;

// Next ids [B] from logits [B, V].
Tensor choose(Tensor logits, const GenerateOptions& options, at::Generator& generator) {
  if (options.temperature <= 0) return logits.argmax(-1);
  logits = logits.to(torch::kFloat) / options.temperature;
  if (options.top_k > 0 && options.top_k < logits.size(-1)) {
    const Tensor smallest_kept = std::get<0>(logits.topk(options.top_k)).narrow(-1, options.top_k - 1, 1);
    logits = logits.masked_fill(logits < smallest_kept, -INFINITY);
  }
  if (options.top_p < 1) {
    const auto [sorted, order] = logits.sort(-1, true);
    const Tensor before = sorted.softmax(-1).cumsum(-1) - sorted.softmax(-1);  // mass of better tokens
    logits = logits.masked_fill(torch::zeros_like(before, torch::kBool).scatter(-1, order, before >= options.top_p),
                                -INFINITY);
  }
  return logits.softmax(-1).multinomial(1, false, generator).squeeze(-1);
}

void refuse_too_long(const Decoder& decoder, const DecoderInput& input, int64_t new_tokens) {
  const int64_t last = input.position_ids.max().item<int64_t>() + new_tokens;
  if (last > decoder.config().max_positions) {
    throw Error({.what = "the prompt and the answer are longer than the decoder's positions",
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
  Tensor rows = states.gather(1, last_row.unsqueeze(-1).expand({-1, 1, states.size(2)}));  // [B, 1, D]
  Tensor position = input.position_ids.to(decoder.device()).gather(1, last_row);           // [B, 1]
  const Tensor one = torch::ones({batch}, torch::kLong);
  std::optional<RowDecoder> by_rows;
  if (decoder.row_weights() != nullptr && batch <= most_rows && options.by_rows)
    by_rows.emplace(*decoder.row_weights(), cache);
  auto prefilled = start;
  Tensor logits = decoder.logits(rows.squeeze(1));

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
    position.add_(1);
    if (by_rows) {
      logits = by_rows->next(next, position);
    } else {
      rows =
          decoder.hidden({.rows = decoder.embed(next.unsqueeze(1)), .lengths = one, .position_ids = position}, &cache);
      logits = decoder.logits(rows.squeeze(1));
    }
  }
  if (seconds) {
    seconds->prefill += std::chrono::duration<double>(prefilled - start).count();
    seconds->decode += std::chrono::duration<double>(Clock::now() - prefilled).count();
  }
  return out;
}

}  // namespace precis

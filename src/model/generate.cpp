#include "precis/model/generate.h"

#include <torch/types.h>

#include <algorithm>
#include <chrono>

#include "precis/model/continuation.h"
#include "precis/model/sampler.h"

namespace precis {

std::vector<std::vector<int64_t>> generate(const Decoder& decoder, const DecoderInput& input,
                                           const GenerateOptions& options, const OnToken& on_token,
                                           GenerateSeconds* seconds) {
  using Clock = std::chrono::steady_clock;
  const c10::InferenceMode inference;
  const auto start = Clock::now();
  const int64_t batch = input.rows.size(0);
  Sampler sampler(options);
  Continuation contexts(decoder, input, options.max_new_tokens, options.by_rows);
  auto prefilled = start;

  std::vector<std::vector<int64_t>> out(static_cast<size_t>(batch));
  std::vector<bool> done(static_cast<size_t>(batch), false);
  for (int64_t step = 0; step < options.max_new_tokens; ++step) {
    const Tensor next = sampler.next(contexts.logits());
    const Tensor on_cpu = next.cpu();
    if (step == 0) prefilled = Clock::now();  // the copy has waited for the device
    for (int64_t b = 0; b < batch; ++b) {
      const auto row = static_cast<size_t>(b);
      if (done[row]) continue;
      const int64_t id = on_cpu.data_ptr<int64_t>()[b];
      done[row] = sampler.ends(id);
      if (done[row]) continue;
      out[row].push_back(id);
      if (on_token && !on_token(b, id)) done[row] = true;
    }
    if (std::all_of(done.begin(), done.end(), [](bool d) { return d; }) || step + 1 == options.max_new_tokens) break;
    contexts.read(next);
  }
  if (seconds) {
    seconds->prefill += std::chrono::duration<double>(prefilled - start).count();
    seconds->decode += std::chrono::duration<double>(Clock::now() - prefilled).count();
  }
  return out;
}

}  // namespace precis

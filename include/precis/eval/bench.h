// What things cost: one measurement at a time, in the terms of the Python peers, so that both stand in one table.
#pragma once

#include "precis/compress/compressor.h"
#include "precis/core/json.h"

namespace precis {

struct BenchTask {
  std::string job;     // prefill | decode | compress | train_step | e2e_qa | gate
  std::string method;  // "full" for prefill and decode; folded or literal for gate
  std::string dtype;
  int64_t batch = 1, context = 512, ratio = 4, questions = 5, segments_at_once = 0, repeat = 5, warmup = 1;
};
Json to_json(const BenchTask& task);
BenchTask bench_task_from_json(const Json& json);

// Every measurement that the lists of config.bench ask for, in order.
std::vector<BenchTask> bench_tasks(const Config& config, const CompressorRegistry& registry);

// Runs one in this process, on random token ids, with untrained compressors at their method's defaults: median_s,
// min_s, tokens_per_s, peak_rss_mb (with loading), base_rss_mb (after loading), run_peak_rss_mb (while running) and
// what the job adds. Then, of a run that is not timed (the warm-up, where there is one): operations and bytes of its
// products, and what share of the machine's measured peak of matrix products and of its memory bandwidth the median run
// reached. With `trace`, one run's timeline goes to that file (Chrome's trace format).
//   prefill     the decoder with a cache over the context, logits of the last row
//   decode      64 greedy tokens after `context` tokens (of bench.prompt); decode_tokens_per_s leaves the prompt out
//   compress    contexts into memories, without gradients
//   train_step  forward, backward and AdamW on a continuation of 128 tokens
//   e2e_qa      compress once, then to each of `questions` queries of 24 tokens 16 greedy ones, one after the other;
//               `full` reads the whole context for each
//   gate        ComprExIT's depth-wise gate alone over N + 1 states, in both forms
Json run_bench_task(const BenchTask& task, std::shared_ptr<const Decoder> decoder, const CompressorRegistry& registry,
                    const std::string& trace = "");

}  // namespace precis

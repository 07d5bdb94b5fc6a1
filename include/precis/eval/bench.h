// Benchmarks: one measurement at a time, defined as for the Python peers, so that one table can hold both.
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

// All measurements in config.bench, in order.
std::vector<BenchTask> bench_tasks(const Config& config, const CompressorRegistry& registry);

// Runs one measurement in this process, on random token ids, with untrained compressors at their method's defaults.
// Returns median_s, min_s, tokens_per_s, peak_rss_mb (with loading), base_rss_mb (after loading), run_peak_rss_mb
// (while running) and the job's own fields. An untimed run (the warm-up, if any) adds the operations and bytes of its
// products; the median run's shares of the machine's measured matrix peak and memory bandwidth follow from them. With
// `trace`, one run's timeline is written to that file (Chrome's trace format).
//   prefill     the decoder with a cache over the context, logits of the last row
//   decode      64 greedy tokens after `context` tokens (of bench.prompt); decode_tokens_per_s excludes the prompt
//   compress    contexts into memories, without gradients
//   train_step  forward, backward and AdamW on a continuation of 128 tokens
//   e2e_qa      compress once, then answer each of `questions` queries of 24 tokens with 16 greedy tokens, in sequence;
//               `full` reads the whole context for each query
//   gate        ComprExIT's depth-wise gate alone over N + 1 states, in both forms
Json run_bench_task(const BenchTask& task, std::shared_ptr<const Decoder> decoder, const CompressorRegistry& registry,
                    const std::string& trace = "");

}  // namespace precis

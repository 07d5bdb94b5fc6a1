#include "precis/eval/bench.h"
#include "precis/compress/parts.h"

#include <ATen/CPUGeneratorImpl.h>
#include <ATen/Parallel.h>
#include <torch/csrc/autograd/profiler_kineto.h>
#include <torch/cuda.h>
#include <torch/types.h>
#include <torch/version.h>

#include <algorithm>
#include <chrono>

#include "precis/compress/checkpoint.h"
#include "precis/core/error.h"
#include "precis/core/process.h"
#include "precis/core/strings.h"
#include "precis/eval/operations.h"
#include "precis/memory/memory_blocks.h"
#include "precis/methods/comprexit.h"
#include "precis/methods/transmission.h"
#include "precis/model/generate.h"
#include "precis/nn/device.h"
#include "precis/train/adamw.h"
#include "precis/train/throughput.h"

namespace precis {
namespace {

constexpr int64_t new_tokens = 64, continuation_tokens = 128, query_tokens = 24, answer_tokens = 16;

Tensor random_ids(const Decoder& decoder, int64_t batch, int64_t length) {
  at::Generator generator = at::detail::createCPUGenerator(0);
  return torch::randint(std::min<int64_t>(100, decoder.config().vocabulary - 1), decoder.config().vocabulary,
                        {batch, length}, generator, torch::kLong);
}

TokenBatch full_batch(const Tensor& ids) { return {ids, torch::full({ids.size(0)}, ids.size(1), torch::kLong)}; }

DecoderInput prompt_of(const Decoder& decoder, const Tensor& ids) {
  return {decoder.embed(ids), torch::full({ids.size(0)}, ids.size(1), torch::kLong),
          torch::arange(ids.size(1)).unsqueeze(0).expand_as(ids)};
}

// A timed job: one run (`fast` false: generation by the reference path, where every operation can be counted), its
// number of tokens, and additional fields of the result.
struct Job {
  std::function<void(bool fast)> run;
  int64_t tokens = 0;
  std::function<Json(double median)> extra = [](double) { return Json::object(); };
  bool gradients = false;
};

std::shared_ptr<Compressor> untrained(const BenchTask& task, std::shared_ptr<const Decoder> decoder,
                                      const CompressorRegistry& registry) {
  CompressorConfig config = registry.defaults(task.method, "published");  // as the peers compute
  config.ratio = task.ratio;
  // A few tokens more than whole segments make no segment of their own: 512 tokens are one of SAC's 510.
  const int64_t segments = std::max<int64_t>(1, task.context / config.segment_length),
                length = (task.context + segments - 1) / segments;
  if (length <= config.segment_length + config.segment_length / 100) config.segment_length = length;
  auto compressor = registry.make(config, {std::move(decoder), 0, false, "", 1});
  compressor->eval();
  return compressor;
}

Job prefill_job(const BenchTask& task, const Decoder& decoder) {
  const Tensor ids = random_ids(decoder, task.batch, task.context);
  return {[&decoder, ids](bool) { generate(decoder, prompt_of(decoder, ids), {.max_new_tokens = 1}); },
          task.batch * task.context};
}

Job decode_job(const BenchTask& task, const Decoder& decoder) {
  const Tensor ids = random_ids(decoder, task.batch, task.context);
  auto seconds = std::make_shared<std::vector<double>>();
  return {[&decoder, ids, seconds](bool fast) {
            GenerateSeconds spent;
            generate(decoder, prompt_of(decoder, ids), {.max_new_tokens = new_tokens, .by_rows = fast}, {}, &spent);
            seconds->push_back(spent.decode);
          },
          task.batch * new_tokens,
          [seconds, batch = task.batch, warmup = task.warmup](double) -> Json {
            seconds->erase(seconds->begin(), seconds->begin() + warmup);
            std::sort(seconds->begin(), seconds->end());
            const double decode = (*seconds)[seconds->size() / 2];
            return {{"new_tokens", new_tokens},
                    {"decode_tokens_per_s", static_cast<double>(batch * (new_tokens - 1)) / decode}};
          }};
}

Job compress_job(const BenchTask& task, std::shared_ptr<const Decoder> decoder, const CompressorRegistry& registry) {
  const auto compressor = untrained(task, decoder, registry);
  const TokenBatch context = full_batch(random_ids(*decoder, task.batch, task.context));
  return {[compressor, context, at_once = task.segments_at_once](bool) {
            at_once > 0 ? compress_in_parts(*compressor, context, at_once) : compressor->compress(context);
          },
          task.batch * task.context,
          [compressor](double) -> Json {
            return {{"trained_parameters", compressor->trained_parameters()}};
          }};
}

Job train_job(const BenchTask& task, std::shared_ptr<const Decoder> decoder, const CompressorRegistry& registry) {
  const auto compressor = untrained(task, decoder, registry);
  compressor->train();
  const TokenBatch context = full_batch(random_ids(*decoder, task.batch, task.context));
  const TokenBatch next = full_batch(random_ids(*decoder, task.batch, continuation_tokens));
  const TaskTokens continuation{Task::lm, next.ids, next.lengths, next.ids, torch::arange(task.batch)};
  const TrainConfig settings;
  const auto optimizer = std::make_shared<AdamW>(trained_tensors(*compressor), settings);
  return {[=](bool) {
            optimizer->zero_gradients();
            const LossSum loss =
                decoder_loss(compressor->decoder(), compressor->prompt(compressor->compress(context), continuation));
            (loss.sum / static_cast<double>(loss.count)).backward();
            optimizer->step(1e-4);
          },
          task.batch * (task.context + continuation_tokens),
          [compressor](double) -> Json {
            return {{"trained_parameters", compressor->trained_parameters()}};
          },
          true};
}

Job qa_job(const BenchTask& task, std::shared_ptr<const Decoder> decoder, const CompressorRegistry& registry) {
  const Tensor ids = random_ids(*decoder, task.batch, task.context),
               query = random_ids(*decoder, task.batch, query_tokens);
  const int64_t asked_tokens = task.questions * (query_tokens + answer_tokens);
  const auto questions = [](double) -> Json { return {{"new_tokens", answer_tokens}}; };
  if (task.method == "full") {
    return {[decoder, ids, query, count = task.questions](bool fast) {
              const Tensor asked = torch::cat({ids, query}, 1);
              for (int64_t q = 0; q < count; ++q)
                generate(*decoder, prompt_of(*decoder, asked), {.max_new_tokens = answer_tokens, .by_rows = fast});
            },
            task.batch * (task.questions * task.context + asked_tokens), questions};
  }
  const auto compressor = untrained(task, decoder, registry);
  const TokenBatch context = full_batch(ids), asked = full_batch(query);
  const TaskTokens question{Task::qa, asked.ids, asked.lengths, {}, torch::arange(task.batch)};
  return {[=](bool fast) {
            const Memory memory = compressor->compress(context);
            const GenerateOptions options{.max_new_tokens = answer_tokens, .by_rows = fast};
            for (int64_t q = 0; q < task.questions; ++q)
              generate(*decoder, compressor->prompt(memory, question), options);
          },
          task.batch * (task.context + asked_tokens), questions};
}

Job gate_job(const BenchTask& task, const Decoder& decoder) {
  const DecoderConfig& shape = decoder.config();
  const ComprexitSettings defaults;
  at::Generator generator = at::detail::createCPUGenerator(0);
  const auto gate = std::make_shared<DepthwiseGate>(shape.layers + 1, shape.hidden, defaults.gate_width,
                                                    defaults.gate_temperature, generator);
  gate->to(decoder.device());
  std::vector<Tensor> states;
  for (int64_t k = 0; k <= shape.layers; ++k) {
    states.push_back(torch::empty({task.batch, task.context, shape.hidden})
                         .normal_(0, 1, generator)
                         .to(decoder.device(), decoder.dtype()));
  }
  const bool folded = task.method == "folded";
  return {[=](bool) { folded ? gate->forward(states) : gate->forward_literal(states); }, task.batch * task.context};
}

Job make_job(const BenchTask& task, const std::shared_ptr<const Decoder>& decoder, const CompressorRegistry& registry) {
  if (task.job == "prefill") return prefill_job(task, *decoder);
  if (task.job == "decode") return decode_job(task, *decoder);
  if (task.job == "compress") return compress_job(task, decoder, registry);
  if (task.job == "train_step") return train_job(task, decoder, registry);
  if (task.job == "e2e_qa") return qa_job(task, decoder, registry);
  check(task.job == "gate", "unknown bench job " + task.job);
  return gate_job(task, *decoder);
}

// Writes one run's timeline.
void write_trace(const Job& job, const std::string& file) {
  using namespace torch::profiler::impl;
  const ProfilerConfig config(ProfilerState::KINETO);
  std::set<ActivityType> activities = {ActivityType::CPU};
  if (torch::cuda::is_available()) activities.insert(ActivityType::CUDA);
  torch::autograd::profiler::prepareProfiler(config, activities);
  torch::autograd::profiler::enableProfiler(config, activities);
  job.run(true);
  torch::autograd::profiler::disableProfiler()->save(file);
}

double megabytes(int64_t bytes) { return static_cast<double>(bytes) / (1024.0 * 1024.0); }

}  // namespace

Json to_json(const BenchTask& t) {
  return {{"job", t.job},       {"method", t.method},       {"implementation", "precis"},
          {"batch", t.batch},   {"context", t.context},     {"ratio", t.ratio},
          {"dtype", t.dtype},   {"questions", t.questions}, {"segments_at_once", t.segments_at_once},
          {"repeat", t.repeat}, {"warmup", t.warmup}};
}

BenchTask bench_task_from_json(const Json& json) {
  const std::string where = "bench --task";
  return {json_get<std::string>(json, "job", where),   json_get<std::string>(json, "method", where),
          json_get<std::string>(json, "dtype", where), json_get<int64_t>(json, "batch", where),
          json_get<int64_t>(json, "context", where),   json_get<int64_t>(json, "ratio", where),
          json_get<int64_t>(json, "questions", where), json_get<int64_t>(json, "segments_at_once", where),
          json_get<int64_t>(json, "repeat", where),    json_get<int64_t>(json, "warmup", where)};
}

std::vector<BenchTask> bench_tasks(const Config& config, const CompressorRegistry& registry) {
  const BenchConfig& b = config.bench;
  std::vector<BenchTask> tasks;
  const auto add = [&](const std::string& job, const std::string& method, int64_t context,
                       const std::vector<int64_t>& ratios) {
    for (const auto& dtype : b.dtype) {
      for (const int64_t ratio : ratios) {
        for (const int64_t batch : job == "train_step" ? std::vector<int64_t>{b.train_batch} : b.batch)
          tasks.push_back({job, method, dtype, batch, context, ratio, job == "e2e_qa" ? b.questions : 1,
                           job == "compress" ? b.segments_at_once : 0, b.repeat, b.warmup});
      }
    }
  };
  const std::vector<std::string> methods = b.methods.empty() ? registry.names() : b.methods;
  for (const auto& job : b.jobs) {
    if (job == "decode") {
      for (const int64_t prompt : b.prompt) add(job, "full", prompt, {0});
      continue;
    }
    for (const int64_t context : b.context) {
      if (job == "prefill" || job == "e2e_qa") add(job, "full", context, {0});
      if (job == "gate") {
        add(job, "folded", context, {0});
        add(job, "literal", context, {0});
      }
      if (job == "prefill" || job == "gate") continue;
      for (const auto& method : methods) add(job, method, context, b.ratio);
    }
  }
  return tasks;
}

Json run_bench_task(const BenchTask& task, std::shared_ptr<const Decoder> decoder, const CompressorRegistry& registry,
                    const std::string& trace) {
  const Job job = make_job(task, decoder, registry);
  const at::Device device = decoder->device();
  const auto run = [&] {
    job.run(true);
    wait_for(device);
  };
  // Replayed GPU graphs are not dispatched and could not be counted.
  const auto count = [&] { return count_operations([&] { job.run(device.is_cpu()); }); };
  const int64_t base = resident_bytes(), load_peak = peak_resident_bytes();
  const bool own_peak = reset_peak_resident_bytes();
  reset_peak_device_bytes(device);
  const c10::InferenceMode inference(!job.gradients);
  std::vector<double> seconds;
  Operations operations;
  if (task.warmup > 0) operations = count();
  for (int64_t i = 1; i < task.warmup; ++i) run();
  wait_for(device);
  for (int64_t i = 0; i < task.repeat; ++i) {
    const auto start = std::chrono::steady_clock::now();
    run();
    seconds.push_back(std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count());
  }
  const int64_t run_peak = peak_resident_bytes(), device_peak = peak_device_bytes(device);
  std::sort(seconds.begin(), seconds.end());
  const double median = seconds[seconds.size() / 2];
  Json out = to_json(task);
  out["threads"] = at::get_num_threads();
  out["median_s"] = median;
  out["min_s"] = seconds.front();
  out["max_s"] = seconds.back();
  out["tokens_per_s"] = static_cast<double>(job.tokens) / median;
  out["peak_rss_mb"] = megabytes(std::max(load_peak, run_peak));
  out["base_rss_mb"] = megabytes(base);
  out["run_peak_rss_mb"] = own_peak ? Json(megabytes(run_peak)) : Json();
  out["torch"] = TORCH_VERSION;
  out.update(job.extra(median));
  if (task.warmup == 0) operations = count();
  out["operations"] = operations.count;
  out["product_bytes"] = operations.bytes;
  out["operations_per_s"] = operations.count / median;
  out["device"] = device_name(device);
  if (!device.is_cpu()) out["run_peak_device_mb"] = megabytes(device_peak);
  out["matrix_peak_percent"] = 100 * operations.count / median / matrix_peak(decoder->dtype(), device);
  out["bandwidth_percent"] = 100 * operations.bytes / median / memory_bandwidth(device);
  if (!trace.empty()) write_trace(job, trace);
  return out;
}

}  // namespace precis

#include "precis/train/plan.h"

#include "precis/core/error.h"
#include "precis/core/process.h"
#include "precis/train/throughput.h"
#include "precis/train/trainer.h"

namespace precis {
namespace fs = std::filesystem;
namespace {

DecoderConfig decoder_shape(const Config& config) {
  const fs::path path(config.model.path);
  if (fs::is_regular_file(path)) return decoder_config_from_gguf(GgufFile(path));
  const fs::path file = fs::exists(path / "config.json") ? path / "config.json" : fs::path(config.model.shape);
  if (!fs::exists(file)) {
    throw Error({.what = "no model found, and no model.shape",
                 .where = "model.path",
                 .expected = "a model, or its config.json as model.shape",
                 .found = config.model.path});
  }
  return decoder_config_from_hugging_face(read_json(file), file.string());
}

// Rows of a micro-batch's passes, with contexts and tasks of maximum length.
PassRows longest_rows(const Config& config, const ObjectiveConfig& o, int64_t entries) {
  const DataConfig& d = config.data;
  const int64_t contexts = config.train.micro_batch > 0 ? std::min(config.train.micro_batch, config.train.batch)
                                                        : config.train.batch,
                in_front = config.compressor.carrier == "kv" ? 0 : entries;
  PassRows rows{.encoder = contexts * (d.max_context_tokens + entries),
                .encoder_takes_gradient = config.compressor.lora.rank > 0,
                .recompute = config.train.recompute};
  const auto add = [&](double weight, int64_t tasks, int64_t tokens) {  // objectives run in sequence
    if (weight <= 0) return;
    rows.decoder = std::max(rows.decoder, contexts * tasks * (in_front + tokens));
    rows.supervised = std::max(rows.supervised, contexts * tasks * tokens);
  };
  add(o.ae, 1, d.max_context_tokens);
  add(o.lm, 1, d.continuation_tokens);
  add(o.qa, d.questions_per_context, d.max_task_tokens);
  if (o.distill_task == "qa") add(o.distill, d.questions_per_context, d.max_task_tokens);
  if (o.distill_task == "lm") add(o.distill, 1, d.continuation_tokens);
  return rows;
}

// Encoder and decoder rows of a whole step of maximum length: each joint objective runs both passes.
int64_t longest_step_rows(const Config& config, const ObjectiveConfig& o, int64_t entries) {
  int64_t rows = 0;
  for (const auto& [weight, single] :
       {std::pair{o.ae, ObjectiveConfig{.ae = 1, .qa = 0}}, std::pair{o.lm, ObjectiveConfig{.lm = 1, .qa = 0}},
        std::pair{o.qa + o.distill, ObjectiveConfig{}}}) {
    if (weight <= 0) continue;
    Config whole = config;
    whole.train.micro_batch = 0;
    const PassRows own = longest_rows(whole, single, entries);
    rows = o.mix == "joint" ? rows + own.encoder + own.decoder : std::max(rows, own.encoder + own.decoder);
  }
  return rows;
}

// Sets data.max_context_tokens to the maximum over all stages.
Config with_longest_contexts(Config config) {
  int64_t longest = 0;
  for (const auto& stage : stages_of(config)) longest = std::max(longest, stage.max_context_tokens);
  config.data.max_context_tokens = longest;
  return config;
}

constexpr double assumed_share_of_peak = 0.35;

// Operations of all steps, with contexts and tasks of maximum length.
double planned_operations(const Config& config, const DecoderConfig& shape) {
  const int64_t ratio = config.compressor.ratio, entries = (config.data.max_context_tokens + ratio - 1) / ratio;
  double operations = 0;
  for (const auto& stage : stages_of(config)) {
    operations += static_cast<double>(stage.steps * longest_step_rows(config, stage.objectives, entries)) *
                  training_operations_per_token(shape);
  }
  return operations;
}

}  // namespace

double planned_seconds(const Config& given, double peak) {
  const Config config = with_longest_contexts(given);
  return planned_operations(config, decoder_shape(config)) / (peak * assumed_share_of_peak);
}

Json training_plan(const Config& given, const CompressorRegistry& registry) {
  const Config config = with_longest_contexts(given);
  const DecoderConfig shape = decoder_shape(config);
  const auto compressor = registry.make(
      config.compressor, {Decoder::shape_only(shape), 0, true, "", static_cast<uint64_t>(config.run.seed)});
  const int64_t trained = compressor->trained_parameters(), frozen = shape.parameters(),
                context = config.data.max_context_tokens, entries = compressor->entries_of(context),
                segment = config.compressor.segment_length;
  const bool kv = config.compressor.carrier == "kv";
  const int64_t values_per_entry = kv ? shape.layers * 2 * shape.kv_heads * shape.head_dim : shape.hidden;
  const TrainConfig& t = config.train;
  const at::Device device(config.model.device == "cuda" && at::hasCUDA() ? at::kCUDA : at::kCPU);
  const at::ScalarType dtype = resolve_dtype(config.model.dtype, device);
  const auto value_bytes = static_cast<int64_t>(c10::elementSize(dtype));
  const double peak = matrix_peak(dtype, device);
  const int64_t program = resident_bytes();  // LibTorch itself
  Json stages = Json::array();
  int64_t steps = 0;
  double activations = 0;
  for (const auto& stage : stages_of(config)) {
    steps += stage.steps;
    const ObjectiveConfig& o = stage.objectives;
    activations = std::max(activations, activation_bytes(shape, value_bytes, longest_rows(config, o, entries)));
    stages.push_back(
        {{"name", stage.name},
         {"steps", stage.steps},
         {"objectives", {{"ae", o.ae}, {"lm", o.lm}, {"qa", o.qa}, {"distill", o.distill}, {"mix", o.mix}}},
         {"learning_rate", stage.lr},
         {"schedule", stage.schedule},
         {"warmup_steps", stage.warmup_steps},
         {"data", stage.data}});
  }
  return {{"model",
           {{"path", config.model.path}, {"family", shape.family}, {"layers", shape.layers}, {"hidden", shape.hidden}}},
          {"method", config.compressor.method},
          {"ratio", config.compressor.ratio.values},
          {"carrier", config.compressor.carrier},
          {"trained_parameters", trained},
          {"frozen_parameters", frozen},
          {"trained_percent_of_frozen", 100 * static_cast<double>(trained) / static_cast<double>(frozen)},
          {"longest_context_tokens", context},
          {"segments_of_longest_context", (context + segment - 1) / segment},
          {"memory_entries_of_longest_context", entries},
          {"memory_values_per_entry", values_per_entry},
          {"start_from", t.start_from},
          {"stages", stages},
          {"max_seconds", t.max_seconds},
          {"contexts_per_step", t.batch},
          {"contexts", steps * t.batch},
          {"context_tokens_at_most", steps * t.batch * context},
          {"clip", t.clip},
          {"memory_estimate",
           {{"dtype", c10::toString(dtype)},
            {"program_bytes", program},
            {"frozen_weights_bytes", frozen * value_bytes},
            {"trained_tensors_gradients_and_moments_bytes", 16 * trained},
            {"activations_bytes", static_cast<int64_t>(activations)},
            {"recompute", t.recompute},
            {"sum_bytes", program + static_cast<int64_t>(activations) + frozen * value_bytes + 16 * trained}}},
          {"time_estimate",
           {{"operations", planned_operations(config, shape)},
            {"matrix_peak_operations_per_second_here", peak},
            {"assumed_share_of_peak", assumed_share_of_peak},
            {"seconds", planned_seconds(config, peak)}}}};
}

}  // namespace precis

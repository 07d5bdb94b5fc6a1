#include "precis/train/plan.h"

#include "precis/core/error.h"
#include "precis/train/trainer.h"

namespace precis {
namespace fs = std::filesystem;
namespace {

DecoderConfig decoder_shape(const Config& config) {
  const fs::path path(config.model.path);
  if (fs::is_regular_file(path)) return decoder_config_from_gguf(GgufFile(path));
  const fs::path file = fs::exists(path / "config.json") ? path / "config.json" : fs::path(config.model.shape);
  if (!fs::exists(file)) {
    throw Error({.what = "no model here, and no shape of it",
                 .where = "model.path",
                 .expected = "a model, or model.shape: its config.json",
                 .found = config.model.path});
  }
  return decoder_config_from_hugging_face(read_json(file), file.string());
}

}  // namespace

Json training_plan(const Config& config, const CompressorRegistry& registry) {
  const DecoderConfig shape = decoder_shape(config);
  const auto compressor = registry.make(
      config.compressor, {Decoder::shape_only(shape), 0, true, "", static_cast<uint64_t>(config.run.seed)});
  const int64_t trained = compressor->trained_parameters(), frozen = shape.parameters(),
                context = config.data.max_context_tokens, entries = compressor->entries_of(context),
                segment = config.compressor.segment_length;
  const bool kv = config.compressor.carrier == "kv";
  const int64_t values_per_entry = kv ? shape.layers * 2 * shape.kv_heads * shape.head_dim : shape.hidden;
  const TrainConfig& t = config.train;
  Json stages = Json::array();
  int64_t steps = 0;
  for (const auto& stage : stages_of(config)) {
    steps += stage.steps;
    const ObjectiveConfig& o = stage.objectives;
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
          {"bytes_of_trained_tensors_gradients_and_moments", 16 * trained}};
}

}  // namespace precis

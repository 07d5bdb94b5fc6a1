#include <torch/types.h>

#include "golden.h"
#include "precis/core/strings.h"
#include "precis/methods/comprexit.h"
#include "precis/methods/sac.h"

namespace precis::golden {
namespace {

// Whether the method's chunks are segments.
bool chunks_are_segments(const CompressorConfig& c) { return c.method == "sac" || c.method == "beacon"; }

// Converts a case's compressor.json to our configuration. Unknown keys are errors.
CompressorConfig config_of(const Json& json, const std::string& where) {
  CompressorConfig c =
      CompressorRegistry::built_in().defaults(json_get<std::string>(json, "method", where), "published");
  c.lora.rank = 0;
  c.projector = "none";
  const auto sac = [&]() -> SacSettings& { return c.settings.get<SacSettings>(); };
  const auto comprexit = [&]() -> ComprexitSettings& { return c.settings.get<ComprexitSettings>(); };
  const auto text = [](const Json& v) { return v.get<std::string>(); };
  const std::map<std::string, std::function<void(const Json&)>> keys = {
      {"method", [](const Json&) {}},
      {"trained_tensors", [](const Json&) {}},
      {"first_position", [](const Json&) {}},      // 1 in SAC
      {"projector_norm_eps", [](const Json&) {}},  // 1e-6
      {"layer_norm_eps", [](const Json&) {}},      // 1e-5
      {"slots_per_chunk", [](const Json&) {}},     // chunk / ratio
      {"slots_per_window", [](const Json&) {}},    // ceil(window / ratio)
      {"preset", [&](const Json& v) { c.mask.preset = text(v) == "custom" ? "pic" : text(v); }},
      {"ratio", [&](const Json& v) { c.ratio = v.get<int64_t>(); }},
      {"chunk",
       [&](const Json& v) {
         (chunks_are_segments(c) ? c.segment_length : c.chunk) = v.is_null() ? 0 : v.get<int64_t>();
       }},
      {"slots", [&](const Json& v) { c.slots = v; }},
      {"prefix", [&](const Json& v) { c.encoder_bos = yes_no(v.get<int64_t>() > 0); }},
      {"encoder_bos", [&](const Json& v) { c.encoder_bos = yes_no(v); }},
      {"decoder_bos", [&](const Json& v) { c.decoder_bos = yes_no(v); }},
      {"layout", [&](const Json& v) { c.layout = text(v); }},
      {"positions", [&](const Json& v) { c.positions = text(v); }},
      {"carrier", [&](const Json& v) { c.carrier = text(v); }},
      {"memory_markers", [&](const Json& v) { c.memory_markers = v; }},
      {"memory_rows", [&](const Json& v) { c.memory_rows = text(v) == "shared" ? "shared" : "per_slot"; }},
      {"projector", [&](const Json& v) { c.projector = text(v); }},
      {"projector_layers", [&](const Json& v) { c.projector = v.get<int64_t>() > 0 ? "mlp" : "none"; }},
      {"attention", [&](const Json& v) { sac().attention = text(v) == "per run" ? "full" : text(v); }},
      {"anchor_selection",
       [](const Json& v) {
         if (v != "uniform") throw Error({.what = "unknown anchor_selection", .found = v.dump()});
       }},
      {"window", [&](const Json& v) { comprexit().window = v; }},
      {"gate_width", [&](const Json& v) { comprexit().gate_width = v; }},
      {"gate_temperature", [&](const Json& v) { comprexit().gate_temperature = v; }},
      {"metric_width", [&](const Json& v) { comprexit().metric_width = v; }},
      {"epsilon", [&](const Json& v) { comprexit().epsilon = v; }},
      {"sinkhorn_iterations", [&](const Json& v) { comprexit().sinkhorn_iterations = v; }},
      {"mass_floor", [&](const Json& v) { comprexit().mass_floor = v; }},
      {"mass_temperature", [&](const Json& v) { comprexit().mass_temperature = v; }},
      {"top_k_layers", [&](const Json& v) { comprexit().top_k_layers = v; }},
      {"lora",
       [&](const Json& v) {
         c.lora = {
             .rank = v.at("rank"), .alpha = v.at("alpha"), .dropout = v.at("dropout"), .targets = v.at("targets")};
       }},
      {"mask", [&](const Json& v) {
         if (v.is_string()) return;  // icae and mean-pool: "causal ...", a description
         c.mask.text_scope = v.at("text_scope");
         c.mask.text_sees_earlier_memory = yes_no(v.at("text_sees_earlier_memory"));
         c.mask.memory_to_text = v.at("memory_to_text");
         c.mask.memory_to_memory = v.at("memory_to_memory");
         c.mask.memory_sees_prefix = yes_no(v.at("memory_sees_prefix"));
         c.mask.window = v.value("window", int64_t{1});
       }}};
  for (const auto& [key, value] : json.items()) {
    const auto found = keys.find(key);
    if (found == keys.end()) throw Error({.what = "unknown key " + key, .where = where});
    found->second(value);
  }
  return c;
}

void apply_run(const Json& run, CompressorConfig& c) {
  if (!chunks_are_segments(c))
    c.segment_length = run.value("segment_length", static_cast<int64_t>(run.at("context_ids").front().size()));
  if (run.contains("attention")) c.settings.get<SacSettings>().attention = run.at("attention");
  if (run.contains("positions")) c.positions = run.at("positions");
  if (run.contains("layout")) c.layout = run.at("layout");
}

Task task_of(const std::string& name, const std::string& where) {
  if (name == "ae") return Task::ae;
  if (name == "lm") return Task::lm;
  if (name == "qa") return Task::qa;
  throw Error({.what = "unknown task", .where = where, .found = name});
}

// Loads the case's trained tensors. Returns the names of the others, which must get no gradient.
std::set<std::string> load_trained(Compressor& compressor, const TensorMap& trained, const std::string& where) {
  std::set<std::string> not_given;
  const at::NoGradGuard no_gradient;
  const auto parameters = compressor.named_parameters();
  for (const auto& parameter : parameters) {
    const auto given = trained.find(parameter.key());
    if (given == trained.end()) {
      not_given.insert(parameter.key());
    } else if (given->second.sizes() != parameter.value().sizes()) {
      throw Error({.what = "wrong shape",
                   .where = where + ": " + parameter.key(),
                   .expected = cat(parameter.value().sizes()),
                   .found = cat(given->second.sizes())});
    } else {
      Tensor(parameter.value()).copy_(given->second);
    }
  }
  for (const auto& [name, tensor] : trained) {
    if (!parameters.contains(name)) throw Error({.what = "unknown trained tensor", .where = where, .found = name});
  }
  return not_given;
}

constexpr double forward_tolerance = 2e-5;  // times max(1, largest entry)

void compare_memory(const Memory& memory, const std::string& run, Comparison& compare) {
  const auto close = [&](const std::string& name, const Tensor& found) {
    compare.close(run + name, found, 0, forward_tolerance, 1);
  };
  compare.equal(run + "memory.positions", memory.position_ids[0]);
  compare.equal(run + "next_position", memory.next_position[0]);
  if (const auto* embedding = std::get_if<EmbeddingMemory>(&memory.content)) {
    close("memory", embedding->rows);
    if (compare.expects(run + "slots")) close("slots", embedding->slots);
    return;
  }
  const auto& kv = std::get<KvMemory>(memory.content);
  for (size_t i = 0; i < kv.layers.size(); ++i) {
    close(cat("memory.K.", i), kv.layers[i].k);
    close(cat("memory.V.", i), kv.layers[i].v);
  }
}

void compare_transport(const Comprexit& compressor, const TokenBatch& context, const std::string& run,
                       Comparison& compare) {
  const Comprexit::Explanation e = compressor.explain(context);
  const std::pair<const char*, Tensor> parts[] = {{"x", e.x},          {"gate", e.gate}, {"y", e.seeds},
                                                  {"cost", e.cost},    {"mass", e.mass}, {"plan", e.plan},
                                                  {"target", e.target}};
  for (const auto& [name, tensor] : parts) {
    if (compare.expects(run + name)) compare.close(run + name, tensor, 0, forward_tolerance, 1);
  }
}

void run_one(const Json& run, const CompressorConfig& base, const std::shared_ptr<const Decoder>& decoder,
             const TensorMap& trained, int64_t bos, const std::string& where, Comparison& compare) {
  const std::string name = json_get<std::string>(run, "name", where) + ".";
  CompressorConfig config = base;
  apply_run(run, config);
  const auto rows = trained.find("memory_rows");
  if (rows != trained.end() && config.memory_rows == "per_slot") config.memory_row_count = rows->second.size(0);
  const auto compressor = CompressorRegistry::built_in().make(config, {decoder, bos, true});
  compressor->eval();
  const std::set<std::string> not_given = load_trained(*compressor, trained, where);

  const Tensor context_ids = tensor_of(run.at("context_ids")), task_ids = tensor_of(run.at("task_ids"));
  const int64_t B = context_ids.size(0);
  const TokenBatch context{context_ids, torch::full({B}, context_ids.size(1), torch::kLong)};
  const Memory memory = compressor->compress(context);
  compare_memory(memory, name, compare);
  if (compare.expects(name + "mask")) compare.equal(name + "mask", compressor->encoder_view(context).mask);
  if (compare.expects(name + "encoder.positions"))
    compare.equal(name + "encoder.positions", compressor->encoder_view(context).positions);
  if (const auto* comprexit = dynamic_cast<const Comprexit*>(compressor.get()))
    compare_transport(*comprexit, context, name, compare);

  const TaskTokens task{task_of(run.at("task"), where), task_ids, torch::full({B}, task_ids.size(1), torch::kLong),
                        tensor_of(run.at("labels")), torch::arange(B)};
  const DecoderInput input = compressor->prompt(memory, task);
  compare.equal(name + "decoder.positions", input.position_ids[0].narrow(0, 0, input.lengths[0].item<int64_t>()));
  const LossSum loss = decoder_loss(*decoder, input);
  const Tensor mean = loss.sum / loss.count;
  compare.close(name + "loss", mean, 0, forward_tolerance, 1);
  if (!run.contains("gradients")) return;  // gradients in the file then fail as unknown tensors
  mean.backward();
  for (const auto& parameter : compressor->named_parameters()) {
    const Tensor gradient =
        parameter.value().grad().defined() ? parameter.value().grad() : torch::zeros_like(parameter.value());
    if (not_given.count(parameter.key()) == 0) {
      compare.close(name + "grad." + parameter.key(), gradient, 5e-6, 1e-4);
    } else if (gradient.abs().max().item<double>() > 0) {
      compare.note(name + "grad." + parameter.key(), false, "a gradient for a tensor that is not in the case");
    }
  }
}

}  // namespace

bool run_compressor_case(const std::filesystem::path& folder) {
  const std::string where = folder.string();
  const Json json = read_json(folder / "case.json");
  Comparison compare(folder.filename().string(), SafetensorsFile(folder / "expected.safetensors").tensors());
  const auto decoder = load_decoder(folder, "float32");
  const CompressorConfig config =
      config_of(read_json(folder / "compressor.json"), (folder / "compressor.json").string());
  const TensorMap trained = SafetensorsFile(folder / "compressor.safetensors").tensors();
  for (const Json& run : json_get<Json>(json, "runs", where)) {
    run_one(run, config, decoder, trained, json.at("special_ids").at("bos"), where, compare);
  }
  compare.finish();
  return compare.passed();
}

}  // namespace precis::golden

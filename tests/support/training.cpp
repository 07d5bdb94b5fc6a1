#include "training.h"

#include "precis/compress/checkpoint.h"
#include "precis/config/schema.h"
#include "precis/data/synth.h"

namespace precis::testing {

// A byte-level tokenizer of the 61 most frequent characters, so that generated passages fit a vocabulary of 64.
void write_letter_tokenizer(const std::filesystem::path& folder) {
  Json vocabulary = Json::object();
  const std::string letters = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVW0123456789.";
  int64_t id = 3;
  for (const char c : letters) vocabulary[std::string(1, c)] = id++;
  const Json json = {
      {"model", {{"vocab", vocabulary}, {"merges", Json::array()}}},
      {"pre_tokenizer", {{"type", "ByteLevel"}, {"add_prefix_space", false}}},
      {"added_tokens",
       {{{"id", 0}, {"content", "<pad>"}}, {{"id", 1}, {"content", "<s>"}}, {{"id", 2}, {"content", "</s>"}}}}};
  write_text(folder / "tokenizer.json", json.dump());
  write_text(folder / "tokenizer_config.json", R"({"bos_token": "<s>", "eos_token": "</s>"})");
}

std::unique_ptr<Tokenizer> letter_tokenizer() {
  const TemporaryFolder folder;
  write_letter_tokenizer(folder.path());
  auto tokenizer = load_tokenizer(folder.path());
  tokenizer->bos_id = 1;
  tokenizer->eos_id = 2;
  return tokenizer;
}

std::vector<Passage> passages(uint64_t seed) {
  std::vector<Passage> out;
  for (int64_t i = 0; i < 12; ++i) out.push_back(synth_passage({.seed = seed}, i));
  return out;
}

Config training_config(const std::filesystem::path& run, const std::vector<std::string>& overrides) {
  std::vector<std::string> all = {"compressor.form=published",
                                  "compressor.segment_length=64",
                                  "compressor.lora.rank=4",
                                  "compressor.carrier=kv",
                                  "compressor.projector=none",
                                  "data.max_context_tokens=400",
                                  "train.steps=10",
                                  "train.batch=2",
                                  "train.save_interval=5",
                                  "train.log_interval=1",
                                  "train.objectives.lm=0.5",
                                  "run.dir=" + run.string()};
  all.insert(all.end(), overrides.begin(), overrides.end());
  return resolve_config(config_layers("", all), CompressorRegistry::built_in().methods());
}

TrainResult run_training(const Config& config, uint64_t data_seed, const ProcessGroup& group,
                         const std::string& device) {
  const auto tokenizer = letter_tokenizer();
  const auto compressor = CompressorRegistry::built_in().make(
      config.compressor, surroundings_of(tiny_decoder(device, 1024), *tokenizer, 3));
  const auto data =
      std::make_shared<PassageSet>(passages(data_seed), *tokenizer, config.data, compressor->context_begins_with_bos());
  std::vector<TrainingStage> stages;
  for (const auto& stage : stages_of(config)) stages.push_back({stage, data});
  return train(*compressor, stages, config, {}, group);
}

std::vector<Json> losses(const std::filesystem::path& run) {
  std::vector<Json> out;
  for (const auto& line : split(read_file(run / "metrics.jsonl"), '\n')) {
    if (!line.empty())
      out.push_back(Json::array({parse_json(line, "metrics").at("step"), parse_json(line, "metrics").at("loss")}));
  }
  return out;
}

}  // namespace precis::testing

#include <cstdio>

#include "commands.h"
#include "precis/compress/checkpoint.h"
#include "precis/config/schema.h"
#include "precis/core/error.h"
#include "precis/core/file.h"
#include "precis/core/strings.h"
#include "precis/methods/authors_checkpoint.h"
#include "precis/text/tokenizer.h"
#include "transformers_folder.h"

namespace precis {
namespace fs = std::filesystem;
namespace {

constexpr const char* fields_file = "authors_config.json";  // the authors' config.json, kept for the export

void refuse_existing(const fs::path& out) {
  if (fs::exists(out))
    throw Error({.what = "the folder already exists", .where = out.string(), .expected = "a new folder"});
}

Config with_settings(const ImportCommand& c, const CompressorConfig& imported, const Methods& methods) {
  const Json lora = to_json(imported).at("lora");
  std::vector<ConfigLayer> layers = {{c.source, {{"compressor", to_json(imported)}}}};
  if (c.from == "peft") {
    layers = config_layers(c.config_file, {});
    layers.push_back({c.source, {{"compressor", {{"lora", lora}}}}});
  }
  for (auto& layer : config_layers("", c.overrides)) layers.push_back(std::move(layer));
  Config config = resolve_config(layers, methods);
  config.model.path = c.run.model;
  return config;
}

// Fills in the compressor's initial values of optional tensors: all but an adapter's, and those that the authors lack.
void add_initial_values(TensorMap& tensors, const Compressor& compressor, const std::string& from) {
  for (const auto& [name, tensor] : trained_tensors(compressor)) {
    const bool optional = from == "peft" ? !name.starts_with("lora.") : authors_lack(compressor.config(), name);
    if (optional) tensors.emplace(name, tensor.detach());
  }
}

// The compressor with its configuration, without what only training needs and without a copy of its adapters.
void write_compressor_alone(const fs::path& folder, const OpenRun& run, const ExportCommand& c) {
  Config config = run.config;
  config.data.train.clear();
  config.data.eval.clear();
  config.run.dir.clear();
  config.model.device = "cpu";
  config.run.threads = 0;
  write_json(folder / "config.json", to_json_for(config, c.out));
  TensorMap tensors = trained_tensors(*run.compressor);
  if (c.store == "bfloat16") {
    for (auto& [name, tensor] : tensors) tensor = tensor.detach().to(torch::kBFloat16);
    load_trained_tensors(*run.compressor, tensors, c.run.compressor);  // what is described is what is stored
  }
  write_safetensors(folder / "compressor.safetensors", tensors);
  write_compressor_json(folder, *run.compressor);
}

}  // namespace

void run_import(const ImportCommand& c, const CompressorRegistry& registry) {
  refuse_existing(c.out);
  if (c.run.model.empty()) throw Error({.what = "no base model", .where = "command line", .expected = "--model PATH"});
  Config base;
  base.model = {.path = c.run.model, .device = c.run.device};
  if (!c.run.dtype.empty()) base.model.dtype = c.run.dtype;
  const Workspace workspace = open_workspace(base);
  CompressorConfig settings;
  TensorMap tensors;
  Json fields;
  if (c.from == "peft") {
    PeftAdapter adapter = read_peft_adapter(c.source);
    settings.lora = adapter.lora;
    tensors = std::move(adapter.tensors);
  } else {
    AuthorsCheckpoint theirs =
        read_authors_checkpoint(c.source, *workspace.decoder, registry, {c.ignore.begin(), c.ignore.end()});
    settings = theirs.config;
    tensors = std::move(theirs.tensors);
    fields = std::move(theirs.fields);
  }
  const Config config = with_settings(c, settings, registry.methods());
  const auto compressor = registry.make(config.compressor, surroundings_of(workspace.decoder, *workspace.tokenizer,
                                                                           static_cast<uint64_t>(config.run.seed)));
  add_initial_values(tensors, *compressor, c.from);
  load_trained_tensors(*compressor, tensors, c.source);
  write_folder_atomically(c.out, [&](const fs::path& folder) {
    write_json(folder / "config.json", to_json_for(config, c.out));
    if (!fields.is_null()) write_json(folder / fields_file, fields);
    make_folder(folder / "compressor");
    save_compressor(folder / "compressor", *compressor);
  });
  std::printf("%s: %s at %lldx, %lld trained parameters\n", c.out.c_str(), config.compressor.method.c_str(),
              static_cast<long long>(compressor->ratio()), static_cast<long long>(compressor->trained_parameters()));
}

void run_export(const ExportCommand& c, const CompressorRegistry& registry) {
  refuse_existing(c.out);
  const OpenRun run = open_run(c.run, registry);
  write_folder_atomically(c.out, [&](const fs::path& folder) {
    if (c.to == "precis") return write_compressor_alone(folder, run, c);
    if (c.to == "peft") return save_peft_adapter(folder, *run.compressor);
    if (c.to == "transformers") return write_transformers_folder(folder, run, c);
    const fs::path kept = fs::path(c.run.compressor) / fields_file;
    write_authors_checkpoint(folder, *run.compressor, fs::exists(kept) ? read_json(kept) : Json());
  });
  std::printf("%s\n", c.out.c_str());
}

}  // namespace precis

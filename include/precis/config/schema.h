// Reading, checking, printing and documenting the configuration: all visitors over the one list of fields.
// Reading is strict: an unknown key, a wrong type or a value out of range is an error, and all are reported at once.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "precis/config/config.h"
#include "precis/core/json.h"

namespace precis {

// One layer of settings: a file's object, or the overrides of the command line.
struct ConfigLayer {
  std::string source;  // file name or "command line"
  Json values;         // an object
};

// The layers of `file` (with what it extends, base first; "" for none) and of `key=value` overrides.
// Relative paths in a file are relative to its folder. Throws Error on unreadable files and circular `extends`.
std::vector<ConfigLayer> config_layers(const std::filesystem::path& file, const std::vector<std::string>& overrides);

// Applies the layers in order over the defaults of the method they name. Throws one Error with every problem.
Config resolve_config(const std::vector<ConfigLayer>& layers);

// `config.json` of a run or an exported compressor: one file, no overrides.
Config read_config(const std::filesystem::path& file);

// Throws one Error that names every listed key path whose value is empty ("model.path", "data.train", ...).
void require_set(const Config& config, const std::vector<std::string>& key_paths);

Json to_json(const Config& config);
Json to_json_for(const Config& config, const std::filesystem::path& folder);  // for a file there: paths relative to it
Json to_json_absolute(const Config& config);                                  // with absolute paths, to compare
Json to_json(const CompressorConfig& config);
CompressorConfig compressor_config_from_json(const Json& object, const std::string& source);

Json json_schema();                // JSON Schema, draft 2020-12
std::string markdown_reference();  // docs/config.md

}  // namespace precis

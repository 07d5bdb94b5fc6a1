// Reading, checking, printing and documenting the configuration: visitors over the one list of fields.
// Reading is strict: unknown keys, wrong types and values out of range are errors, reported all at once.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "precis/config/config.h"
#include "precis/core/json.h"

namespace precis {

// One layer of settings: a file's object, or the command line's overrides.
struct ConfigLayer {
  std::string source;  // file name or "command line"
  Json values;         // an object
};

// The layers of `file` (the files it extends first; "": no file) and of `key=value` overrides. Paths in a file are
// relative to its folder. Throws Error on unreadable files and circular `extends`.
std::vector<ConfigLayer> config_layers(const std::filesystem::path& file, const std::vector<std::string>& overrides);

// Applies the layers in order to the defaults of the method they name. Checks the settings of every known method and
// keeps those of the named one. Throws one Error that lists all problems.
Config resolve_config(const std::vector<ConfigLayer>& layers, const Methods& methods);

// Reads `config.json` of a run or an exported compressor, without overrides.
Config read_config(const std::filesystem::path& file, const Methods& methods);

// Throws one Error that lists all of `key_paths` whose value is empty ("model.path", "data.train", ...).
void require_set(const Config& config, const std::vector<std::string>& key_paths);

Json to_json(const Config& config);
Json to_json_for(const Config& config, const std::filesystem::path& folder);  // paths relative to `folder`
Json to_json_absolute(const Config& config);                                  // absolute paths, for comparison
Json to_json(const CompressorConfig& config);
CompressorConfig compressor_config_from_json(const Json& object, const std::string& source, const Methods& methods);

// A compressor's settings that differ from the method as published. A field added in a later version is omitted while
// it has its default, so that values derived from these settings stay the same.
Json changed_settings(const CompressorConfig& config);
// The same for a whole configuration; other settings are compared with their defaults. Paths are relative to `folder`.
Json changed_settings(const Config& config, const std::filesystem::path& folder);

Json json_schema(const Methods& methods);                // JSON Schema, draft 2020-12
std::string markdown_reference(const Methods& methods);  // docs/config.md

}  // namespace precis

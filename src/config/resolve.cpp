#include <algorithm>
#include <array>
#include <set>

#include "precis/config/schema.h"
#include "precis/core/error.h"
#include "precis/core/strings.h"
#include "reader.h"

namespace precis {
namespace fs = std::filesystem;
namespace {

// Settings that hold paths; in a file they are relative to its folder.
const std::vector<std::vector<std::string>> path_settings = {
    {"model", "path"},       {"model", "shape"},      {"tokenizer", "path"}, {"data", "train"}, {"data", "eval"},
    {"train", "start_from"}, {"eval", "compressors"}, {"eval", "memories"},  {"run", "dir"}};

// The same for objects in a list: section, list, key.
const std::vector<std::array<std::string, 3>> path_settings_of_lists = {
    {"train", "stages", "data"}, {"sweep", "methods", "config"}, {"sweep", "data", "config"}};

// "~/x" as the shell would expand it; the shell does not see it in key=~/x.
std::string without_tilde(const std::string& path) {
  const char* home = std::getenv("HOME");
  if (!path.starts_with("~/") || home == nullptr) return path;
  return (fs::path(home) / path.substr(2)).string();
}

// A path relative to `folder` (empty: to the working directory). ".." in it leads out of the folder that a link leads
// to, as for the system.
std::string anchored(const std::string& given, const fs::path& folder) {
  const std::string path = without_tilde(given);
  if (path.empty() || fs::path(path).is_absolute() || folder.empty()) return path;
  const fs::path real = fs::weakly_canonical(folder);
  const bool through_link = real != fs::absolute(folder).lexically_normal();
  return ((through_link ? real : folder) / path).lexically_normal().string();
}

template <class F>
void change_paths_of(Json& value, F change) {
  if (value.is_string()) value = change(value.get<std::string>());
  if (!value.is_array()) return;
  for (Json& item : value) {
    if (item.is_string()) item = change(item.get<std::string>());
  }
}

// Applies `change` to every path in the settings.
template <class F>
void change_paths(Json& values, F change) {
  for (const auto& setting : path_settings) {
    if (!values.contains(setting[0]) || !values[setting[0]].is_object() || !values[setting[0]].contains(setting[1]))
      continue;
    change_paths_of(values[setting[0]][setting[1]], change);
  }
  for (const auto& [section, list, key] : path_settings_of_lists) {
    if (!values.contains(section) || !values[section].is_object() || !values[section].contains(list)) continue;
    for (Json& item : values[section][list]) {
      if (item.is_object() && item.contains(key)) change_paths_of(item[key], change);
    }
  }
}

void add_file_layers(const fs::path& file, std::set<fs::path>& open_files, std::vector<ConfigLayer>& layers) {
  const fs::path canonical = fs::weakly_canonical(file);
  if (!open_files.insert(canonical).second) {
    throw Error({.what = "extends itself, directly or through another file", .where = file.string()});
  }
  Json values = read_json(file);
  if (!values.is_object())
    throw Error(
        {.what = "not a configuration", .where = file.string(), .expected = "an object", .found = json_kind(values)});
  if (values.contains("extends")) {
    const Json bases = values["extends"].is_array() ? values["extends"] : Json::array({values["extends"]});
    for (const Json& base : bases) {
      if (!base.is_string()) {
        throw Error({.what = "extends must name files",
                     .where = file.string(),
                     .expected = "a string or a list of strings",
                     .found = json_kind(base)});
      }
      add_file_layers(anchored(base.get<std::string>(), file.parent_path()), open_files, layers);
    }
    values.erase("extends");
  }
  values.erase("$schema");  // for editors
  change_paths(values, [&](const std::string& path) { return anchored(path, file.parent_path()); });
  layers.push_back({file.string(), std::move(values)});
  open_files.erase(canonical);
}

ConfigLayer override_layer(const std::vector<std::string>& overrides) {
  ConfigLayer layer{"command line", Json::object()};
  for (const auto& text : overrides) {
    const size_t equals = text.find('=');
    if (equals == std::string::npos || equals == 0) {
      throw Error(
          {.what = "not an override", .where = "command line", .expected = "key=value", .found = excerpt(text)});
    }
    Json* node = &layer.values;
    for (const auto& part : split(text.substr(0, equals), '.')) {
      if (!node->is_object())
        throw Error({.what = "the key has both a value and subkeys", .where = "command line", .found = excerpt(text)});
      node = &(*node)[part];
      if (node->is_null()) *node = Json::object();
    }
    const std::string value = text.substr(equals + 1);
    const Json parsed = Json::parse(value, nullptr, false);
    *node = parsed.is_discarded() || parsed.is_null() ? Json(value) : parsed;
  }
  change_paths(layer.values, without_tilde);
  return layer;
}

[[noreturn]] void fail_with_problems(const std::vector<std::string>& problems) {
  throw Error({.what = problems.size() == 1 ? "1 problem:\n  " + problems[0]
                                            : cat(problems.size(), " problems:\n  ", join(problems, "\n  ")),
               .where = "configuration"});
}

// The last value of compressor.KEY in the layers; `value` if none sets it.
std::string last_of(const std::vector<ConfigLayer>& layers, const char* key, std::string value) {
  for (const auto& layer : layers) {
    const auto section = layer.values.find("compressor");
    if (section == layer.values.end() || !section->is_object() || !section->contains(key)) continue;
    const Json& given = section->at(key);
    value = given.is_string() ? given.get<std::string>() : given.dump();
  }
  return value;
}

template <class T>
T read_layers(T value, const std::vector<ConfigLayer>& layers) {
  std::vector<std::string> problems;
  for (const auto& layer : layers) {
    config_detail::Reader reader(layer.values, layer.source, "", layer.source == "command line", problems);
    value.visit(reader);
    reader.report_unknown_keys();
  }
  if (!problems.empty()) fail_with_problems(problems);
  return value;
}

}  // namespace

std::vector<ConfigLayer> config_layers(const fs::path& file, const std::vector<std::string>& overrides) {
  std::vector<ConfigLayer> layers;
  std::set<fs::path> open_files;
  if (!file.empty()) add_file_layers(file, open_files, layers);
  if (!overrides.empty()) layers.push_back(override_layer(overrides));
  return layers;
}

Config resolve_config(const std::vector<ConfigLayer>& layers, const Methods& methods) {
  Config config;
  const CompressorConfig none;
  config.compressor =
      compressor_defaults(last_of(layers, "method", none.method), last_of(layers, "form", none.form), methods);
  config_detail::add_other_methods(config.compressor);
  config = read_layers(std::move(config), layers);
  config.compressor.others.clear();
  return config;
}

Json to_json_absolute(const Config& config) {
  Json values = to_json(config);
  change_paths(values, [](const std::string& path) {
    return path.empty() ? path : fs::weakly_canonical(fs::absolute(path)).string();
  });
  return values;
}

Json to_json_for(const Config& config, const fs::path& folder) {
  Json values = to_json_absolute(config);
  const fs::path base = fs::weakly_canonical(fs::absolute(folder));
  change_paths(values, [&](const std::string& path) {
    return path.empty() ? path : fs::path(path).lexically_relative(base).string();
  });
  return values;
}

Config read_config(const fs::path& file, const Methods& methods) {
  return resolve_config(config_layers(file, {}), methods);
}

CompressorConfig compressor_config_from_json(const Json& object, const std::string& source, const Methods& methods) {
  const std::string method = json_get<std::string>(object, "method", source);
  // Folders written before `form` existed have the published form in all fields.
  CompressorConfig config = compressor_defaults(
      method, object.contains("form") ? json_get<std::string>(object, "form", source) : "published", methods);
  config_detail::add_other_methods(config);
  config = read_layers(std::move(config), {{source, object}});
  config.others.clear();
  return config;
}

void require_set(const Config& config, const std::vector<std::string>& key_paths) {
  const Json values = to_json(config);
  std::vector<std::string> problems;
  for (const auto& path : key_paths) {
    const Json* node = &values;
    for (const auto& part : split(path, '.')) node = &node->at(part);
    const bool is_empty = node->empty() || (node->is_string() && node->get<std::string>().empty());
    if (is_empty) problems.push_back("missing key " + path + ": set it in the config file or as " + path + "=...");
  }
  if (!problems.empty()) fail_with_problems(problems);
}

}  // namespace precis

#include "precis/config/schema.h"
#include "precis/core/strings.h"
#include "reader.h"

namespace precis {
namespace {

using config_detail::add_other_methods;
using config_detail::is_section;
using config_detail::is_section_list;
using config_detail::is_vector;

struct Writer {
  Json out = Json::object();
  template <class T>
  void operator()(const char* key, T& value, const char*, const Limits& = {}) {
    if constexpr (std::is_same_v<T, Ratio>) {
      out[key] = value.values.size() == 1 ? Json(value.values[0]) : Json(value.values);
    } else if constexpr (is_section_list<T>::value) {
      out[key] = Json::array();
      for (auto& item : value) {
        Writer inner;
        item.visit(inner);
        out[key].push_back(inner.out);
      }
    } else if constexpr (is_section<T>) {
      Writer inner;
      value.visit(inner);
      out[key] = inner.out;
    } else {
      out[key] = value;
    }
  }
};

template <class T>
constexpr const char* type_name() {
  if constexpr (std::is_same_v<T, bool>) return "boolean";
  if constexpr (std::is_same_v<T, int64_t>) return "integer";
  if constexpr (std::is_same_v<T, double>) return "number";
  return "string";
}

template <class T>
Json scalar_schema(const Limits& limits) {
  Json schema = {{"type", type_name<T>()}};
  if (std::isfinite(limits.low)) schema["minimum"] = limits.low;
  if (std::isfinite(limits.high)) schema["maximum"] = limits.high;
  if (!limits.choices.empty()) schema["enum"] = limits.choices;
  return schema;
}

struct SchemaWriter {
  Json properties = Json::object();
  template <class T>
  void operator()(const char* key, T& value, const char* doc, const Limits& limits = {}) {
    Json schema;
    if constexpr (std::is_same_v<T, Ratio>) {
      const Json one = scalar_schema<int64_t>(limits);
      schema = {{"anyOf", {one, {{"type", "array"}, {"items", one}, {"minItems", 1}}}}, {"default", value.values[0]}};
    } else if constexpr (is_section_list<T>::value) {
      typename T::value_type item;
      SchemaWriter inner;
      item.visit(inner);
      schema = {{"type", "array"},
                {"items", {{"type", "object"}, {"properties", inner.properties}, {"additionalProperties", false}}},
                {"default", Json::array()}};
    } else if constexpr (is_section<T>) {
      SchemaWriter inner;
      value.visit(inner);
      schema = {{"type", "object"}, {"properties", inner.properties}, {"additionalProperties", false}};
    } else if constexpr (is_vector<T>::value) {
      schema = {{"type", "array"}, {"items", scalar_schema<typename T::value_type>(limits)}, {"default", value}};
    } else {
      schema = scalar_schema<T>(limits);
      schema["default"] = value;
    }
    schema["description"] = doc;
    properties[key] = schema;
  }
};

struct MarkdownWriter {
  std::string path, text;
  template <class T>
  void operator()(const char* key, T& value, const char* doc, const Limits& limits = {}) {
    const std::string full = path.empty() ? key : path + "." + key;
    if constexpr (is_section<T>) {
      MarkdownWriter inner{full, ""};
      value.visit(inner);
      text += path.empty()
                  ? cat("\n## ", full, "\n", doc, "\n\n| key | default | allowed | description |\n|---|---|---|---|\n")
                  : "";
      text += inner.text;
    } else if constexpr (is_section_list<T>::value) {
      text += cat("| `", full, "` | `[]` | list | ", doc, " |\n");
      typename T::value_type item;
      MarkdownWriter inner{full + "[i]", ""};
      item.visit(inner);
      text += inner.text;
    } else {
      std::string allowed = join(limits.choices, ", ");
      if (limits.choices.empty() && std::isfinite(limits.low)) allowed = cat("≥ ", limits.low);
      if (limits.choices.empty() && std::isfinite(limits.high)) allowed = cat(limits.low, " … ", limits.high);
      if (!limits.choices.empty() && limits.choices[0].empty()) allowed = "empty" + allowed;
      Json shown;
      if constexpr (std::is_same_v<T, Ratio>) {
        shown = value.values[0];
      } else {
        shown = value;
      }
      text += cat("| `", full, "` | `", shown.dump(), "` | ", allowed, " | ", doc, " |\n");
    }
  }
};

template <class T>
Json written(T value) {
  Writer writer;
  value.visit(writer);
  return writer.out;
}

}  // namespace

Json to_json(const Config& config) { return written(config); }
Json to_json(const CompressorConfig& config) { return written(config); }

namespace {

// The members of `value`, recursively, that are missing or different in `base`.
Json differences(const Json& value, const Json& base) {
  Json out = Json::object();
  for (const auto& [key, own] : value.items()) {
    const Json known = base.contains(key) ? base.at(key) : Json();
    if (own == known) continue;
    out[key] = own.is_object() && known.is_object() ? differences(own, known) : own;
  }
  return out;
}

}  // namespace

Json changed_settings(const CompressorConfig& config) {
  Json out = {{"method", config.method}};
  out.update(differences(written(config), written(compressor_defaults(config.method, "published", config.methods))));
  out.erase("form");
  return out;
}

Json changed_settings(const Config& config, const std::filesystem::path& folder) {
  Json out = differences(to_json_for(config, folder), written(Config()));
  out["compressor"] = changed_settings(config.compressor);
  return out;
}

namespace {

// The defaults of PIC, with the settings of every method.
Config documented(const Methods& methods) {
  Config config;
  config.compressor = compressor_defaults(config.compressor.method, config.compressor.form, methods);
  add_other_methods(config.compressor);
  return config;
}

}  // namespace

Json json_schema(const Methods& methods) {
  SchemaWriter writer;
  Config defaults = documented(methods);
  defaults.visit(writer);
  writer.properties["extends"] = {
      {"description", "configuration files read first, relative to this file"},
      {"anyOf", Json::array({{{"type", "string"}}, {{"type", "array"}, {"items", {{"type", "string"}}}}})}};
  writer.properties["$schema"] = {{"description", "for editors: a file with precis --print-schema's output"},
                                  {"type", "string"}};
  return {{"$schema", "https://json-schema.org/draft/2020-12/schema"},
          {"title", "precis configuration"},
          {"type", "object"},
          {"properties", writer.properties},
          {"additionalProperties", false}};
}

std::string markdown_reference(const Methods& methods) {
  MarkdownWriter writer;
  Config defaults = documented(methods);
  defaults.visit(writer);
  return "# Configuration\nGenerated by `precis --print-docs`; do not edit. Files are JSON with `//` comments. "
         "`\"extends\"` names files to read first; `key=value` on the command line overrides all files. Defaults are "
         "those of `compressor.method = pic`; `precis train compressor.method=NAME --print-config` prints those of "
         "another "
         "method.\n" +
         writer.text;
}

}  // namespace precis

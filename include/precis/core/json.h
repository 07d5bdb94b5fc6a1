// JSON: comments are allowed, duplicate keys are rejected, errors give line and column.
#pragma once

#include <filesystem>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>

namespace precis {

using Json = nlohmann::ordered_json;  // keeps the order of keys; for settings and reports
using LargeJson = nlohmann::json;     // fast key lookup; for vocabularies and tensor directories

// Parses `text`; `where` names the source in errors. Throws Error on bad syntax, invalid UTF-8 or duplicate keys.
Json parse_json(std::string_view text, const std::string& where);
LargeJson parse_large_json(std::string_view text, const std::string& where);
Json read_json(const std::filesystem::path& path);
LargeJson read_large_json(const std::filesystem::path& path);
void write_json(const std::filesystem::path& path, const Json& value);  // indented, atomically

// A value as an error message describes it: "the string ...", "the number ...", "a list".
std::string json_kind(const Json& value);
std::string json_kind(const LargeJson& value);

// Member `key` of an object as T. Throws Error with `where` if it is missing or has another type.
template <class T, class AnyJson>
T json_get(const AnyJson& object, const std::string& key, const std::string& where);

}  // namespace precis

#include "precis/core/error.h"

namespace precis {

template <class T, class AnyJson>
T json_get(const AnyJson& object, const std::string& key, const std::string& where) {
  if (!object.is_object() || !object.contains(key)) {
    throw Error({.what = "the key \"" + key + "\" is missing", .where = where});
  }
  try {
    return object.at(key).template get<T>();
  } catch (const nlohmann::json::exception&) {
    throw Error(
        {.what = "the key \"" + key + "\" has the wrong type", .where = where, .found = json_kind(object.at(key))});
  }
}

// The leaves in which two values differ, by key path ("train.lr"); null stands for an absent one.
struct JsonChange {
  std::string path;
  Json before, now;
};
std::vector<JsonChange> json_changes(const Json& before, const Json& now);

}  // namespace precis

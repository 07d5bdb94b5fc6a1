// JSON as we read and write it: comments allowed, duplicate keys refused, errors with line and column.
#pragma once

#include <filesystem>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>

namespace precis {

using Json = nlohmann::ordered_json;  // keeps the order of keys; for settings and reports
using LargeJson = nlohmann::json;     // finds keys fast; for vocabularies and tensor directories

// Parses `text`; `where` names its source in errors. Throws Error on bad syntax, invalid UTF-8, duplicate keys.
Json parse_json(std::string_view text, const std::string& where);
LargeJson parse_large_json(std::string_view text, const std::string& where);
Json read_json(const std::filesystem::path& path);
LargeJson read_large_json(const std::filesystem::path& path);
void write_json(const std::filesystem::path& path, const Json& value);  // indented, atomically

// The JSON type's name in an error message: "a string", "a number", ...
std::string json_kind(const Json& value);
std::string json_kind(const LargeJson& value);

// Member `key` of an object as T; Error naming `where` if it is missing or of another type.
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

}  // namespace precis

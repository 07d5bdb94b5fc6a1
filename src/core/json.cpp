#include "precis/core/json.h"

#include <set>
#include <vector>

#include "precis/core/file.h"
#include "precis/core/strings.h"

namespace precis {

namespace {

// Copying and destroying a value recurse into it, so a deep one could overflow the stack.
constexpr int most_levels = 256;

template <class AnyJson>
AnyJson parse(std::string_view text, const std::string& where) {
  using Event = typename AnyJson::parse_event_t;
  std::vector<std::set<std::string>> open_objects;
  const auto check_event = [&](int level, Event event, AnyJson& value) {
    if (level > most_levels)
      throw Error({.what = "values are nested too deeply",
                   .where = where,
                   .expected = cat("at most ", most_levels, " levels")});
    if (event == Event::object_start) open_objects.emplace_back();
    if (event == Event::object_end) open_objects.pop_back();
    if (event == Event::key && !open_objects.back().insert(value.template get<std::string>()).second) {
      throw Error({.what = "duplicate key \"" + value.template get<std::string>() + "\" in an object", .where = where});
    }
    return true;
  };
  try {
    return AnyJson::parse(text, check_event, true, true);
  } catch (const nlohmann::json::exception& e) {
    std::string message = e.what();
    if (const size_t at = message.find("] "); at != std::string::npos) message = message.substr(at + 2);
    throw Error({.what = "not valid JSON", .where = where, .found = excerpt(message, 200)});
  }
}

template <class AnyJson>
std::string kind(const AnyJson& value) {
  if (value.is_null()) return "null";
  if (value.is_boolean()) return value.template get<bool>() ? "true" : "false";
  if (value.is_string())
    return "the string " + excerpt(value.dump(-1, ' ', false, AnyJson::error_handler_t::replace), 60);
  if (value.is_number()) return "the number " + value.dump();
  return value.is_array() ? "a list" : "an object";
}

}  // namespace

Json parse_json(std::string_view text, const std::string& where) { return parse<Json>(text, where); }
LargeJson parse_large_json(std::string_view text, const std::string& where) { return parse<LargeJson>(text, where); }
Json read_json(const std::filesystem::path& path) { return parse<Json>(MappedFile(path).view(), path.string()); }
LargeJson read_large_json(const std::filesystem::path& path) {
  return parse<LargeJson>(MappedFile(path).view(), path.string());
}
std::string json_kind(const Json& value) { return kind(value); }
std::string json_kind(const LargeJson& value) { return kind(value); }

void write_json(const std::filesystem::path& path, const Json& value) {
  write_file_atomically(path, value.dump(2, ' ', false, Json::error_handler_t::replace) + "\n");
}

namespace {

void collect_changes(const Json& before, const Json& now, const std::string& path, std::vector<JsonChange>& changes) {
  if (!before.is_object() && !now.is_object()) {
    if (before != now) changes.push_back({path, before, now});
    return;
  }
  const auto child = [](const Json& object, const std::string& key) {
    return object.is_object() && object.contains(key) ? object.at(key) : Json();
  };
  std::set<std::string> seen;
  for (const Json* side : {&now, &before}) {
    if (!side->is_object()) continue;
    for (const auto& [key, value] : side->items()) {
      if (seen.insert(key).second)
        collect_changes(child(before, key), child(now, key), path.empty() ? key : path + "." + key, changes);
    }
  }
}

}  // namespace

std::vector<JsonChange> json_changes(const Json& before, const Json& now) {
  std::vector<JsonChange> changes;
  collect_changes(before, now, "", changes);
  return changes;
}

}  // namespace precis

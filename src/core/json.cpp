#include "precis/core/json.h"

#include <set>
#include <vector>

#include "precis/core/file.h"
#include "precis/core/strings.h"

namespace precis {

Json parse_json(std::string_view text, const std::string& where) {
  std::vector<std::set<std::string>> open_objects;
  const auto refuse_duplicates = [&](int, Json::parse_event_t event, Json& value) {
    if (event == Json::parse_event_t::object_start) open_objects.emplace_back();
    if (event == Json::parse_event_t::object_end) open_objects.pop_back();
    if (event == Json::parse_event_t::key && !open_objects.back().insert(value.get<std::string>()).second) {
      throw Error({.what = "the key \"" + value.get<std::string>() + "\" stands twice in one object", .where = where});
    }
    return true;
  };
  try {
    return Json::parse(text, refuse_duplicates, true, true);
  } catch (const nlohmann::json::exception& e) {
    std::string message = e.what();
    if (const size_t at = message.find("] "); at != std::string::npos) message = message.substr(at + 2);
    throw Error({.what = "not valid JSON", .where = where, .found = excerpt(message, 200)});
  }
}

Json read_json(const std::filesystem::path& path) { return parse_json(read_file(path), path.string()); }

void write_json(const std::filesystem::path& path, const Json& value) {
  write_file_atomically(path, value.dump(2, ' ', false, Json::error_handler_t::replace) + "\n");
}

std::string json_kind(const Json& value) {
  if (value.is_null()) return "null";
  if (value.is_boolean()) return value.get<bool>() ? "true" : "false";
  if (value.is_string()) return "the string " + excerpt(value.dump(-1, ' ', false, Json::error_handler_t::replace), 60);
  if (value.is_number()) return "the number " + value.dump();
  return value.is_array() ? "a list" : "an object";
}

}  // namespace precis

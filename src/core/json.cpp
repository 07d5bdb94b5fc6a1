#include "precis/core/json.h"

#include <set>
#include <vector>

#include "precis/core/file.h"
#include "precis/core/strings.h"

namespace precis {

namespace {

template <class AnyJson>
AnyJson parse(std::string_view text, const std::string& where) {
  using Event = typename AnyJson::parse_event_t;
  std::vector<std::set<std::string>> open_objects;
  const auto refuse_duplicates = [&](int, Event event, AnyJson& value) {
    if (event == Event::object_start) open_objects.emplace_back();
    if (event == Event::object_end) open_objects.pop_back();
    if (event == Event::key && !open_objects.back().insert(value.template get<std::string>()).second) {
      throw Error(
          {.what = "the key \"" + value.template get<std::string>() + "\" stands twice in one object", .where = where});
    }
    return true;
  };
  try {
    return AnyJson::parse(text, refuse_duplicates, true, true);
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

}  // namespace precis

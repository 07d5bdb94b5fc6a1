// Visitor that fills a config struct from JSON and collects all problems.
#pragma once

#include <cmath>
#include <string>
#include <type_traits>
#include <vector>

#include "precis/config/config.h"
#include "precis/core/json.h"
#include "precis/core/strings.h"

namespace precis::config_detail {

template <class T>
struct is_vector : std::false_type {};
template <class T>
struct is_vector<std::vector<T>> : std::true_type {};

template <class T>
constexpr bool is_section =
    std::is_class_v<T> && !std::is_same_v<T, std::string> && !std::is_same_v<T, Ratio> && !is_vector<T>::value;

// A list whose items are sections.
template <class T>
struct is_section_list : std::false_type {};
template <class T>
struct is_section_list<std::vector<T>> : std::bool_constant<is_section<T>> {};

// Adds the settings of all other methods, to be read and checked, or documented.
inline void add_other_methods(CompressorConfig& config) {
  if (!config.methods) return;
  for (const auto& [name, method] : *config.methods) {
    if (name != config.method && !method.settings.empty()) config.others.push_back(method.settings);
  }
}

class Reader {
 public:
  // `command_line`: values may be text, to be parsed as the field's type.
  Reader(const Json& object, std::string source, std::string path, bool command_line,
         std::vector<std::string>& problems)
      : object_(object),
        source_(std::move(source)),
        path_(std::move(path)),
        command_line_(command_line),
        problems_(problems) {}

  template <class T>
  void operator()(const char* key, T& value, const char*, const Limits& limits = {}) {
    known_.push_back(key);
    if (!object_.contains(key)) return;
    const Json& given = object_.at(key);
    const std::string path = path_.empty() ? key : path_ + "." + key;
    if constexpr (std::is_same_v<T, Ratio>) {
      read_ratio(path, value, given, limits);
    } else if constexpr (is_section_list<T>::value) {
      read_sections(path, value, given);
    } else if constexpr (is_section<T>) {
      if (!given.is_object()) return problem(path, "an object", given);
      Reader inner(given, source_, path, command_line_, problems_);
      value.visit(inner);
      inner.report_unknown_keys();
    } else if constexpr (is_vector<T>::value) {
      read_list(path, value, given, limits);
    } else {
      read_scalar(path, value, given, limits);
    }
  }

  void report_unknown_keys() {
    for (const auto& [key, ignored] : object_.items()) {
      if (std::find(known_.begin(), known_.end(), key) != known_.end()) continue;
      const std::string near = nearest_word(key, known_);
      problems_.push_back(cat(source_, ": unknown key ", path_.empty() ? key : path_ + "." + key,
                              near.empty() ? "; known: " + join(known_, ", ") : "; did you mean " + near + "?"));
    }
  }

 private:
  void problem(const std::string& path, const std::string& expected, const Json& found) {
    problems_.push_back(cat(source_, ": ", path, ": expected ", expected, ", found ", json_kind(found)));
  }

  void read_ratio(const std::string& path, Ratio& ratio, const Json& given, const Limits& limits) {
    std::vector<int64_t> values;
    const bool list = given.is_array() || (command_line_ && given.is_string());
    read_list(path, values, list ? given : Json::array({given}), limits);
    if (values.empty()) return problem(path, "at least one ratio", given);
    ratio.values = values;
  }

  template <class T>
  void read_sections(const std::string& path, std::vector<T>& list, const Json& given) {
    if (!given.is_array()) return problem(path, "a list", given);
    list.clear();
    for (size_t i = 0; i < given.size(); ++i) {
      const std::string own = cat(path, "[", i, "]");
      if (!given[i].is_object()) return problem(own, "an object", given[i]);
      list.emplace_back();
      Reader inner(given[i], source_, own, command_line_, problems_);
      list.back().visit(inner);
      inner.report_unknown_keys();
    }
  }

  template <class T>
  void read_list(const std::string& path, T& list, const Json& given, const Limits& limits) {
    Json items = given;
    if (command_line_ && given.is_string()) {  // a,b,c
      items = Json::array();
      for (const auto& part : split(given.get<std::string>(), ',')) {
        if (part.empty()) continue;
        const Json number = std::is_same_v<T, std::string> ? Json() : Json::parse(part, nullptr, false);
        items.push_back(number.is_number() ? number : Json(part));
      }
    } else if (command_line_ && !given.is_array()) {
      items = Json::array({given});
    }
    if (!items.is_array()) return problem(path, "a list", given);
    list.clear();
    for (size_t i = 0; i < items.size(); ++i) {
      list.emplace_back();
      read_scalar(cat(path, "[", i, "]"), list.back(), items[i], limits);
    }
  }

  void read_scalar(const std::string& path, bool& value, const Json& given, const Limits&) {
    if (!given.is_boolean()) return problem(path, "true or false", given);
    value = given.get<bool>();
  }

  void read_scalar(const std::string& path, int64_t& value, const Json& given, const Limits& limits) {
    if (!given.is_number_integer() || (given.is_number_unsigned() && given.get<uint64_t>() > INT64_MAX)) {
      return problem(path, "a whole number", given);
    }
    if (in_range(path, static_cast<double>(given.get<int64_t>()), given, limits)) value = given.get<int64_t>();
  }

  void read_scalar(const std::string& path, double& value, const Json& given, const Limits& limits) {
    if (!given.is_number() || !std::isfinite(given.get<double>())) return problem(path, "a finite number", given);
    if (in_range(path, given.get<double>(), given, limits)) value = given.get<double>();
  }

  void read_scalar(const std::string& path, std::string& value, const Json& given, const Limits& limits) {
    std::string text;
    if (given.is_string()) {
      text = given.get<std::string>();
    } else if (command_line_) {
      text = given.dump();
    } else {
      return problem(path, "a string", given);
    }
    if (!limits.choices.empty() &&
        std::find(limits.choices.begin(), limits.choices.end(), text) == limits.choices.end()) {
      const std::string near = nearest_word(text, limits.choices);
      return problem(path, cat("one of ", join(limits.choices, ", "), near.empty() ? "" : " (" + near + "?)"), given);
    }
    value = text;
  }

  bool in_range(const std::string& path, double number, const Json& given, const Limits& limits) {
    if (number >= limits.low && number <= limits.high) return true;
    problem(path,
            std::isinf(limits.high) ? cat("at least ", limits.low) : cat("between ", limits.low, " and ", limits.high),
            given);
    return false;
  }

  const Json& object_;
  std::string source_, path_;
  bool command_line_;
  std::vector<std::string>& problems_;
  std::vector<std::string> known_;
};

}  // namespace precis::config_detail

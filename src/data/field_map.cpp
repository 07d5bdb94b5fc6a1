#include "field_map.h"

#include <algorithm>
#include <cctype>

#include "precis/core/error.h"
#include "precis/core/strings.h"

namespace precis {
namespace {

bool is_template(const std::string& path) { return path.find('{') != std::string::npos; }

struct Found {
  std::vector<const Json*> values;
  bool several = false;  // the path went through a list
};

// The values at a dotted path, in order; false if a part of it is missing. A number picks an element of a list; "*", or
// a key, goes on in each of them.
bool find(const Json& value, std::string_view path, Found& found) {
  if (path.empty()) {
    found.values.push_back(&value);
    return true;
  }
  const size_t dot = path.find('.');
  const std::string key(path.substr(0, dot));
  const std::string_view rest = dot == std::string_view::npos ? "" : path.substr(dot + 1);
  if (value.is_object()) {
    if (const auto whole = value.find(std::string(path)); whole != value.end()) return find(*whole, "", found);
    const auto member = value.find(key);
    return member != value.end() && find(*member, rest, found);
  }
  if (!value.is_array()) return false;
  if (!key.empty() && std::all_of(key.begin(), key.end(), [](unsigned char c) { return std::isdigit(c) != 0; })) {
    const size_t index = key.size() < 10 ? std::stoul(key) : value.size();
    return index < value.size() && find(value[index], rest, found);
  }
  found.several = true;
  return std::all_of(value.begin(), value.end(),
                     [&](const Json& element) { return find(element, key == "*" ? rest : path, found); });
}

// A list or object that a cell of a table holds as JSON; any other value as it is.
Json opened(const Json& value) {
  if (!value.is_string()) return value;
  const auto& text = value.get_ref<const std::string&>();
  if (!text.starts_with('[') && !text.starts_with('{')) return value;
  try {
    return parse_json(text, "");
  } catch (const Error&) {
    return value;
  }
}

// The option that a letter (from A) or a number (from 0) names, if it is not an option's own text.
std::string option_or_text(const std::string& text, const std::vector<std::string>& options) {
  if (options.empty() || std::find(options.begin(), options.end(), text) != options.end()) return text;
  size_t index = options.size();
  if (text.size() == 1 && std::isalpha(static_cast<unsigned char>(text[0])) != 0) {
    index = static_cast<size_t>(std::toupper(text[0]) - 'A');
  } else if (!text.empty() && text.size() < 4 && text.find_first_not_of("0123456789") == std::string::npos) {
    index = std::stoul(text);
  }
  return index < options.size() ? options[index] : text;
}

void add_answers(const Json& value, const std::vector<std::string>& options, std::vector<std::string>& answers) {
  if (value.is_array()) {
    for (const Json& element : value) add_answers(element, options, answers);
  } else if (value.is_object() && value.contains("text")) {
    add_answers(value.at("text"), options, answers);
  } else if (const std::string text = text_of(value); !trim(text).empty()) {
    answers.push_back(option_or_text(text, options));
  }
}

// The part of a list of values that belongs to question `index` of several.
Json part_of(const Json& values, size_t index, size_t questions, const Record& record, const std::string& field) {
  if (values.is_null()) return values;
  if (values.is_array() && values.size() == questions) return values.at(index);
  throw Error({.what = "not one value for each question",
               .where = record.where,
               .expected = cat("a list of ", questions, " (data.fields.", field, ")"),
               .found = values.is_array() ? cat("a list of ", values.size()) : json_kind(values)});
}

// Adds place and field to an error.
template <class Work>
auto at_field(const Record& record, const std::string& field, const Work& work) {
  try {
    return work();
  } catch (const Error& e) {
    ErrorDetails details = e.details();
    details.where = cat(record.where, " (data.fields.", field, ")");
    throw Error(details);
  }
}

}  // namespace

std::string text_of(const Json& value) {
  if (value.is_string()) return value.get<std::string>();
  if (value.is_number()) return value.dump();
  if (value.is_boolean()) return value.get<bool>() ? "yes" : "no";
  if (!value.is_array())
    throw Error(
        {.what = "not a text", .expected = "a text, a number, true, false or a list", .found = json_kind(value)});
  std::string out;
  for (const Json& element : value) {
    const std::string text = text_of(element);
    const bool parted = out.empty() || text.empty() || std::isspace(static_cast<unsigned char>(text[0])) != 0;
    out += (parted ? "" : " ") + text;
  }
  return out;
}

std::vector<std::string> answers_of(const Json& value, const std::vector<std::string>& options) {
  std::vector<std::string> answers;
  add_answers(value, options, answers);
  // {"text": []}: a row of SQuAD 2 that its context does not answer.
  if (answers.empty() && value.is_object() && value.at("text").is_array() && value.at("text").empty()) return {""};
  if (answers.empty()) throw Error({.what = "a question without answers"});
  return answers;
}

void FieldMap::fail_missing(const Record& record, const Field& field, const std::string& path) {
  std::vector<std::string> keys;
  if (record.value.is_object()) {
    for (const auto& [key, value] : record.value.items()) keys.push_back(key);
  }
  const std::string near = nearest_word(path, keys);
  throw Error(
      {.what = cat("the field \"", path, "\" is missing"),
       .where = cat(record.where, " (data.fields.", field.name, ")"),
       .found = record.value.is_object() ? "the keys " + excerpt(join(keys, ", "), 200) : json_kind(record.value),
       .hint = near.empty() ? "" : "did you mean " + near + "?"});
}

Json FieldMap::value(const Record& record, const Field& field) const {
  Found found;
  Json inside;  // of a cell
  bool is_there = find(record.value, field.path, found);
  if (const size_t dot = field.path.find('.'); !is_there && record.is_cells && dot != std::string::npos) {
    const auto cell = record.value.find(field.path.substr(0, dot));
    found = {};
    is_there = cell != record.value.end() && find(inside = opened(*cell), field.path.substr(dot + 1), found);
  }
  if (!is_there) {
    if (field.optional) return nullptr;
    fail_missing(record, field, field.path);
  }
  if (!found.several) return *found.values.front();
  Json list = Json::array();
  for (const Json* element : found.values) list.push_back(*element);
  return list;
}

// A template with "*" in a path is instantiated for each element, on a line of its own.
std::string FieldMap::instantiate(const Record& record, const Field& field) const {
  std::vector<std::string> texts;  // between the values, which are one list for each path
  std::vector<Json> values;
  size_t repeats = 0;
  for (size_t at = 0;;) {
    const size_t open = field.path.find('{', at), close = field.path.find('}', open);
    texts.push_back(field.path.substr(at, close == std::string::npos ? close : open - at));
    if (close == std::string::npos) break;
    const std::string path = field.path.substr(open + 1, close - open - 1);
    values.push_back(value(record, {field.name, path}));
    if (path.find('*') != std::string::npos) {
      if (repeats != 0 && repeats != values.back().size())
        throw Error({.what = "the template's lists differ in length"});
      repeats = values.back().size();
    } else {
      values.back() = text_of(values.back());
    }
    at = close + 1;
  }
  std::string out;
  for (size_t i = 0; i < std::max<size_t>(repeats, 1); ++i) {
    out += (i == 0 ? "" : "\n") + texts[0];
    for (size_t k = 0; k < values.size(); ++k)
      out += (values[k].is_array() ? text_of(values[k].at(i)) : values[k].get<std::string>()) + texts[k + 1];
  }
  return out;
}

std::string FieldMap::text(const Record& record, const Field& field) const {
  return is_template(field.path) ? instantiate(record, field) : text_of(value(record, field));
}

Passage FieldMap::passage(const Record& record) const {
  const FieldsConfig usual;
  const auto in_table = [&](const Json& value) { return record.is_cells ? opened(value) : value; };
  const auto read = [&](const std::string& name, const std::string& path, bool optional = false) {
    return in_table(value(record, {name, path, optional}));
  };
  Passage out{at_field(record, "context", [&] { return text(record, {"context", fields_.context}); }), {}};
  const Json questions = at_field(record, "question", [&]() -> Json {
    if (is_template(fields_.question)) return text(record, {"question", fields_.question});
    const Json found = value(record, {"question", fields_.question});
    return found.is_array() ? found : Json(text_of(found));
  });
  const Json answers = read("answers", fields_.answers), ids = read("id", fields_.id, fields_.id == usual.id),
             options = read("options", fields_.options, fields_.options == usual.options);
  const bool several = questions.is_array();
  const size_t count = several ? questions.size() : 1;
  const auto part = [&](const Json& values, size_t i, const std::string& field) {
    return several ? part_of(values, i, count, record, field) : values;
  };
  for (size_t i = 0; i < count; ++i) {
    Question question{.id = ids.is_null() ? record.id() : text_of(several && ids.is_array() ? part(ids, i, "id") : ids),
                      .text = several ? text_of(questions.at(i)) : questions.get<std::string>()};
    if (several && !ids.is_array()) question.id += cat("-", i);
    const Json choices = part(options, i, "options");
    if (!choices.is_null()) {
      at_field(record, "options", [&] {
        for (const Json& choice : choices.is_object() && choices.contains("text") ? choices.at("text") : choices)
          question.options.push_back(text_of(choice));
      });
    }
    question.answers =
        at_field(record, "answers", [&] { return answers_of(part(answers, i, "answers"), question.options); });
    out.questions.push_back(std::move(question));
  }
  return out;
}

}  // namespace precis

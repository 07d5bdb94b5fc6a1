#include "precis/data/qa.h"

#include "precis/core/error.h"
#include "precis/core/file.h"
#include "precis/core/json.h"
#include "precis/core/strings.h"
#include "precis/core/unpack.h"

namespace precis {
namespace {

void check_passage(const Passage& passage, const std::string& where) {
  if (trim(passage.context).empty()) throw Error({.what = "empty context", .where = where});
  for (const auto& question : passage.questions) {
    if (question.answers.empty())
      throw Error({.what = "a question without answers", .where = where, .found = excerpt(question.id)});
  }
}

std::vector<Passage> read_squad(const Json& json, const std::string& where) {
  std::vector<Passage> passages;
  const auto data = json_get<std::vector<Json>>(json, "data", where);
  for (size_t i = 0; i < data.size(); ++i) {
    const std::string article = cat(where, ": data[", i, "]");
    const auto paragraphs = json_get<std::vector<Json>>(data.at(i), "paragraphs", article);
    for (size_t j = 0; j < paragraphs.size(); ++j) {
      const std::string place = cat(article, ".paragraphs[", j, "]");
      Passage passage{json_get<std::string>(paragraphs.at(j), "context", place), {}};
      for (const Json& qa : json_get<Json>(paragraphs.at(j), "qas", place)) {
        Question question{json_get<std::string>(qa, "id", place), json_get<std::string>(qa, "question", place), {}, {}};
        for (const Json& answer : json_get<Json>(qa, "answers", place))
          question.answers.push_back(json_get<std::string>(answer, "text", place));
        passage.questions.push_back(std::move(question));
      }
      check_passage(passage, place);
      passages.push_back(std::move(passage));
    }
  }
  return passages;
}

// In lost-in-the-middle's wording: the records as a JSON object, the question one of its keys.
Passage key_value_passage(const Json& json, const std::string& where, size_t number) {
  std::string context;
  for (const Json& record : json_get<Json>(json, "ordered_kv_records", where)) {
    if (!record.is_array() || record.size() != 2 || !record[0].is_string() || !record[1].is_string())
      throw Error({.what = "a record is not a pair of strings", .where = where, .found = excerpt(record.dump())});
    context += cat(context.empty() ? "{" : ",\n ", record[0].dump(), ": ", record[1].dump());
  }
  return {context + "}",
          {{cat("kv-", number),
            json_get<std::string>(json, "key", where),
            {json_get<std::string>(json, "value", where)},
            {}}}};
}

std::vector<Passage> read_mrqa(const std::string& text, const std::string& file) {
  std::vector<Passage> passages;
  size_t number = 0;
  for (const auto& line : split(text, '\n')) {
    ++number;
    if (trim(line).empty()) continue;
    const std::string where = cat(file, " line ", number);
    const Json json = parse_json(line, where);
    if (json.is_object() && json.contains("header")) continue;
    if (json.is_object() && json.contains("ordered_kv_records")) {
      passages.push_back(key_value_passage(json, where, number));
      continue;
    }
    Passage passage{json_get<std::string>(json, "context", where), {}};
    for (const Json& qa : json_get<Json>(json, "qas", where)) {
      passage.questions.push_back({json_get<std::string>(qa, "qid", where),
                                   json_get<std::string>(qa, "question", where),
                                   json_get<std::vector<std::string>>(qa, "answers", where),
                                   {}});
      if (qa.contains("options"))
        passage.questions.back().options = json_get<std::vector<std::string>>(qa, "options", where);
    }
    check_passage(passage, where);
    passages.push_back(std::move(passage));
  }
  return passages;
}

}  // namespace

std::vector<Passage> read_qa(const std::filesystem::path& path) {
  const std::string where = path.string(), text = read_unpacked(path);
  const bool lines = ends_with_any(where, {".jsonl", ".jsonl.gz", ".jsonl.xz", ".jsonl.zst"});
  std::vector<Passage> passages = lines ? read_mrqa(text, where) : read_squad(parse_json(text, where), where);
  size_t questions = 0;
  for (const auto& passage : passages) questions += passage.questions.size();
  if (questions == 0) throw Error({.what = "the data set has no questions", .where = where});
  return passages;
}

std::vector<Passage> read_qa(const std::vector<std::string>& paths) {
  std::vector<Passage> all;
  for (const auto& path : paths) {
    for (auto& passage : read_qa(std::filesystem::path(path))) all.push_back(std::move(passage));
  }
  return all;
}

}  // namespace precis

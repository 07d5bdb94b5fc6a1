#include "precis/data/qa.h"

#include <map>

#include "field_map.h"
#include "precis/core/error.h"
#include "precis/core/hash.h"
#include "precis/core/log.h"
#include "precis/core/strings.h"

namespace precis {
namespace {

Json questions_of(const Record& record) {
  Json questions = json_get<Json>(record.value, "qas", record.where);
  if (!questions.is_array())
    throw Error({.what = "the key \"qas\" has the wrong type", .where = record.where, .found = json_kind(questions)});
  return questions;
}

// A paragraph of SQuAD or a record of MRQA, which names ids and answers in another way.
Passage passage_with_questions(const Record& record) {
  Passage passage{json_get<std::string>(record.value, "context", record.where), {}};
  for (const Json& qa : questions_of(record)) {
    const Json id = json_get<Json>(qa, qa.contains("qid") || !qa.contains("id") ? "qid" : "id", record.where);
    Question question{text_of(id), json_get<std::string>(qa, "question", record.where), {}, {}};
    if (qa.contains("depth")) question.depth = json_get<double>(qa, "depth", record.where);
    if (qa.contains("options")) question.options = json_get<std::vector<std::string>>(qa, "options", record.where);
    const Json answers = json_get<Json>(qa, "answers", record.where);
    const Json unanswerable = qa.value("is_impossible", Json());  // SQuAD 2
    if (unanswerable.is_boolean() && unanswerable.get<bool>()) {
      question.answers = {""};
    } else {
      try {
        question.answers = answers_of(answers, {});
      } catch (const Error& e) {
        throw Error({.what = e.details().what,
                     .where = cat(record.where, ": question ", excerpt(question.id)),
                     .expected = e.details().expected,
                     .found = e.details().found});
      }
    }
    passage.questions.push_back(std::move(question));
  }
  if (record.value.contains("length")) passage.length = json_get<int64_t>(record.value, "length", record.where);
  return passage;
}

// In lost-in-the-middle's wording: the records as a JSON object, the question one of its keys.
Passage key_value_passage(const Record& record) {
  const Json& json = record.value;
  std::string context;
  for (const Json& pair : json_get<Json>(json, "ordered_kv_records", record.where)) {
    if (!pair.is_array() || pair.size() != 2 || !pair[0].is_string() || !pair[1].is_string())
      throw Error({.what = "a record is not a pair of strings", .where = record.where, .found = excerpt(pair.dump())});
    context += cat(context.empty() ? "{" : ",\n ", pair[0].dump(), ": ", pair[1].dump());
  }
  return {context + "}",
          {{cat("kv-", record.number),
            json_get<std::string>(json, "key", record.where),
            {json_get<std::string>(json, "value", record.where)},
            {}}}};
}

class QaReader {
 public:
  explicit QaReader(const DataConfig& data) : map_(data.fields), skip_bad_(data.skip_bad) {}

  std::vector<Passage> read(const std::filesystem::path& path) {
    for_each_record(
        path, [&](Record record) { add(std::move(record)); },
        [&](const Error& e) {
          if (!skip_bad_ || e.kind() != Error::Kind::input) throw Error(e);
          std::string where = e.details().where;
          if (where.starts_with(path.string())) where.erase(0, path.string().size());
          bad_.push_back(trim(cat(where, ": ", e.details().what)));
        });
    if (!bad_.empty()) warn(path.string());
    size_t questions = 0;
    for (const auto& passage : passages_) questions += passage.questions.size();
    if (questions == 0) throw Error({.what = "the data set has no questions", .where = path.string()});
    return std::move(passages_);
  }

 private:
  void add(Record record) {
    const Json& row = record.value;
    if (row.is_object() && row.contains("header") && !row.contains("qas")) return;  // MRQA's first line
    if (row.is_object() && row.contains("ordered_kv_records")) return keep(key_value_passage(record), record);
    if (row.is_object() && row.contains("qas")) return keep(passage_with_questions(record), record);
    Passage passage = map_.passage(record);
    const std::string hash = Hasher().update(passage.context.data(), passage.context.size()).hex();
    const auto [place, is_new] = by_context_.emplace(hash, passages_.size());
    if (is_new) return keep(std::move(passage), record);
    for (auto& question : passage.questions) passages_[place->second].questions.push_back(std::move(question));
  }

  void keep(Passage passage, const Record& record) {
    if (trim(passage.context).empty()) throw Error({.what = "empty context", .where = record.where});
    passage.set = record.set;
    passages_.push_back(std::move(passage));
  }

  void warn(const std::string& path) const {
    constexpr size_t shown = 5;
    std::vector<std::string> first(bad_.begin(),
                                   bad_.begin() + static_cast<std::ptrdiff_t>(std::min(shown, bad_.size())));
    if (bad_.size() > shown) first.push_back(cat("and ", bad_.size() - shown, " more"));
    log::warn(cat(path, ": ", bad_.size(), " rows left out (data.skip_bad): ", join(first, "; ")));
  }

  FieldMap map_;
  bool skip_bad_;
  std::vector<Passage> passages_;
  std::map<std::string, size_t> by_context_;  // of mapped rows
  std::vector<std::string> bad_;
};

}  // namespace

std::vector<Passage> read_qa(const std::filesystem::path& path, const DataConfig& data) {
  return QaReader(data).read(path);
}

std::vector<Passage> read_qa(const std::vector<std::string>& paths, const DataConfig& data) {
  std::vector<Passage> all;
  for (const auto& path : paths) {
    for (auto& passage : read_qa(std::filesystem::path(path), data)) all.push_back(std::move(passage));
  }
  return all;
}

}  // namespace precis

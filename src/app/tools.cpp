#include <cstdio>
#include <iostream>
#include <map>

#include "commands.h"
#include "precis/core/error.h"
#include "precis/core/log.h"
#include "precis/core/strings.h"
#include "precis/data/qa.h"
#include "precis/eval/metrics.h"
#include "precis/text/tokenizer.h"

namespace precis {

void run_score(const std::string& dataset, const std::string& predictions_file) {
  const Json predictions = read_json(predictions_file);
  if (!predictions.is_object())
    throw Error({.what = "not a predictions file",
                 .where = predictions_file,
                 .expected = "an object: question id to text",
                 .found = json_kind(predictions)});
  double exact_match = 0, f1 = 0;
  int64_t questions = 0, missing = 0;
  size_t used = 0;
  for (const auto& passage : read_qa(std::filesystem::path(dataset))) {
    for (const auto& question : passage.questions) {
      ++questions;
      if (!predictions.contains(question.id)) {
        ++missing;
        continue;
      }
      ++used;
      const AnswerScore score =
          score_answer(json_get<std::string>(predictions, question.id, predictions_file), question.answers);
      exact_match += score.exact_match;
      f1 += score.f1;
    }
  }
  if (used < predictions.size())
    log::warn(cat(predictions_file, ": ", predictions.size() - used, " predictions have no question in ", dataset));
  const double scale = 100.0 / static_cast<double>(questions);
  std::printf(
      "%s\n",
      Json{{"exact_match", exact_match * scale}, {"f1", f1 * scale}, {"questions", questions}, {"missing", missing}}
          .dump()
          .c_str());
}

void run_tokenize(const std::string& path, bool decode, bool special) {
  const auto tokenizer = load_tokenizer(path);
  size_t number = 0;
  for (std::string line; std::getline(std::cin, line);) {
    const std::string where = cat("standard input line ", ++number);
    if (trim(line).empty()) continue;
    const Json input = parse_json(line, where);
    if (decode) {
      TokenIds ids;
      if (!input.is_array())
        throw Error({.what = "not token ids",
                     .where = where,
                     .expected = "a JSON array of whole numbers",
                     .found = json_kind(input)});
      for (const Json& id : input) {
        if (!id.is_number_integer())
          throw Error({.what = "not a token id", .where = where, .expected = "a whole number", .found = json_kind(id)});
        ids.push_back(id.get<int64_t>());
      }
      std::printf("%s\n", Json(tokenizer->decode(ids, special)).dump().c_str());
    } else {
      if (!input.is_string())
        throw Error({.what = "not text", .where = where, .expected = "a JSON string", .found = json_kind(input)});
      std::printf("%s\n", Json(tokenizer->encode(input.get<std::string>(), special)).dump().c_str());
    }
  }
}

}  // namespace precis

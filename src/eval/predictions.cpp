#include "precis/eval/predictions.h"

#include "precis/core/error.h"
#include "precis/core/strings.h"
#include "precis/eval/answer_metrics.h"

namespace precis {

std::string PredictionIds::next(const std::string& id) {
  std::string unique = id;
  for (int copy = 2; !used_.insert(unique).second; ++copy) unique = cat(id, "~", copy);
  return unique;
}

Json items_json(const TaskScores& scores) {
  Json ids = Json::array(), measures = Json::object();
  PredictionIds unique;
  for (const auto& id : scores.ids) ids.push_back(unique.next(id));
  for (const auto& measure : scores.measures) measures[measure.name] = measure.items;
  return {{"ids", ids}, {"contexts", scores.groups}, {"sets", scores.sets}, {"measures", measures}};
}

TaskScores read_items(const std::filesystem::path& path, const std::string& task) {
  const Json json = read_json(path);
  const std::string where = path.string();
  TaskScores scores{.task = task,
                    .groups = json_get<std::vector<int64_t>>(json, "contexts", where),
                    .ids = json_get<std::vector<std::string>>(json, "ids", where),
                    .sets = json_get<std::vector<std::string>>(json, "sets", where)};
  const Json measures = json_get<Json>(json, "measures", where);
  for (const auto& [name, items] : measures.items()) {
    scores.measures.push_back(
        measure_of_items(name, json_get<std::vector<std::vector<double>>>(measures, name, where + ": measures")));
    const auto& own = scores.measures.back().items;
    const bool alike = own.size() == scores.ids.size() && scores.groups.size() == own.size() && !own.empty() &&
                       scores.sets.size() == own.size() && std::all_of(own.begin(), own.end(), [&](const auto& item) {
                         return item.size() == own.front().size() && item.size() >= 2;
                       });
    if (!alike)
      throw Error(
          {.what = "lists of unequal lengths", .where = where, .expected = "an entry for each id", .found = name});
  }
  if (scores.measures.empty()) throw Error({.what = "no measures", .where = where});
  return scores;
}

}  // namespace precis

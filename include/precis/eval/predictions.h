// Predictions and scores of single items, as files beside a report have them.
#pragma once

#include <filesystem>
#include <set>
#include <string>

#include "precis/core/json.h"
#include "precis/eval/tasks.h"

namespace precis {

// Ids of predictions in the order of the data. Real data sets repeat ids: "7", "7~2".
class PredictionIds {
 public:
  std::string next(const std::string& id);

 private:
  std::set<std::string> used_;
};

// Each item's contributions to the measures, so that two reports can be compared over the same items:
// {"ids": [...], "contexts": [...], "sets": [...], "measures": {name: [[...], ...]}}.
Json items_json(const TaskScores& scores);
TaskScores read_items(const std::filesystem::path& path, const std::string& task);  // without texts and costs

}  // namespace precis

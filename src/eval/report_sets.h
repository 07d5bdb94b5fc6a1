// Scores of a task by data set and by length and depth, for the report.
#pragma once

#include "precis/eval/evaluator.h"

namespace precis {

// {set: {items, measures}} for several sets; null for one.
Json scores_by_set(const TaskScores& scores, int64_t bootstrap_samples);

// {"in_domain": {measure: value}, "out_of_domain": ..., "all": ...}: means over sets of equal weight.
Json means_over_sets(const Json& by_set, const std::vector<std::string>& in_domain);

// {measure, lengths, depths, values[depth][length]} of the main measure; null unless the data give lengths and depths.
Json heat_map(const TaskScores& scores, const std::vector<AskedQuestion>& questions);

}  // namespace precis

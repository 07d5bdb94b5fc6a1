#include "report_sets.h"

#include <algorithm>
#include <set>

#include "precis/core/error.h"

namespace precis {
namespace {

// A measure and the groups of some of its items.
struct Part {
  Measure measure;
  std::vector<int64_t> groups;
};

template <class Wanted>
Part part_of(const Measure& measure, const std::vector<int64_t>& groups, const Wanted& wanted) {
  Part part{{measure.name, {}, measure.value}, {}};
  for (size_t i = 0; i < groups.size(); ++i) {
    if (!wanted(i)) continue;
    part.measure.items.push_back(measure.items[i]);
    part.groups.push_back(groups[i]);
  }
  return part;
}

// From 0 without gaps: groups without items would be drawn too.
std::vector<int64_t> renumbered(const std::vector<int64_t>& groups) {
  std::map<int64_t, int64_t> index;
  std::vector<int64_t> out;
  for (const int64_t group : groups)
    out.push_back(index.emplace(group, static_cast<int64_t>(index.size())).first->second);
  return out;
}

}  // namespace

Json scores_by_set(const TaskScores& scores, int64_t bootstrap_samples) {
  std::vector<std::string> sets;
  for (const auto& set : scores.sets) {
    if (std::find(sets.begin(), sets.end(), set) == sets.end()) sets.push_back(set);
  }
  if (sets.size() < 2) return nullptr;
  Json out = Json::object();
  for (const auto& set : sets) {
    Json measures = Json::object();
    for (const auto& measure : scores.measures) {
      const Part part = part_of(measure, scores.groups, [&](size_t i) { return scores.sets[i] == set; });
      const Interval interval = bootstrap_interval(part.measure, renumbered(part.groups), bootstrap_samples);
      measures[measure.name] = {{"value", value_of(part.measure)}, {"low", interval.low}, {"high", interval.high}};
    }
    out[set] = {{"items", std::count(scores.sets.begin(), scores.sets.end(), set)}, {"measures", measures}};
  }
  return out;
}

Json means_over_sets(const Json& by_set, const std::vector<std::string>& in_domain) {
  const auto is_in_domain = [&](const std::string& set) {
    return std::find(in_domain.begin(), in_domain.end(), set) != in_domain.end();
  };
  const auto mean = [&](const auto& wanted) {
    std::map<std::string, double> sums;
    double sets = 0;
    for (const auto& [set, scores] : by_set.items()) {
      if (!wanted(set)) continue;
      ++sets;
      for (const auto& [name, score] : scores.at("measures").items())
        sums[name] += score.at("value").template get<double>();
    }
    Json out = Json::object();
    for (const auto& [name, sum] : sums) out[name] = sum / sets;
    return out;
  };
  Json out = Json::object();
  const Json in = mean(is_in_domain), outside = mean([&](const std::string&set) { return !is_in_domain(set); });
  if (!in.empty()) out["in_domain"] = in;
  if (!in.empty() && !outside.empty()) out["out_of_domain"] = outside;
  out["all"] = mean([](const std::string&) { return true; });
  return out;
}

Json heat_map(const TaskScores& scores, const std::vector<AskedQuestion>& questions) {
  if (scores.groups.size() != questions.size() || (scores.task != "qa" && scores.task != "choice")) return nullptr;
  std::set<int64_t> lengths;
  std::set<double> depths;
  for (const auto& asked : questions) {
    if (asked.passage->length <= 0 || asked.question->depth < 0) return nullptr;
    lengths.insert(asked.passage->length);
    depths.insert(asked.question->depth);
  }
  const Measure& measure = scores.measures.front();
  Json values = Json::array();
  for (const double depth : depths) {
    Json line = Json::array();
    for (const int64_t length : lengths) {
      const Part part = part_of(measure, scores.groups, [&](size_t i) {
        return questions[i].passage->length == length && questions[i].question->depth == depth;
      });
      line.push_back(part.groups.empty() ? Json() : Json(value_of(part.measure)));
    }
    values.push_back(std::move(line));
  }
  return {{"measure", measure.name}, {"lengths", lengths}, {"depths", depths}, {"values", values}};
}

}  // namespace precis

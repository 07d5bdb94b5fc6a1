#include "precis/eval/measure.h"

#include <algorithm>
#include <cmath>

#include "precis/core/error.h"
#include "precis/core/random.h"

namespace precis {
namespace {

using Sums = std::vector<double>;

// The sums of each group's items.
std::vector<Sums> group_sums(const Measure& measure, const std::vector<int64_t>& groups) {
  check(groups.size() == measure.items.size() && !groups.empty(), "bootstrap: one group per item");
  std::vector<Sums> sums(static_cast<size_t>(*std::max_element(groups.begin(), groups.end())) + 1,
                         Sums(measure.items.front().size(), 0.0));
  for (size_t i = 0; i < groups.size(); ++i) {
    Sums& own = sums[static_cast<size_t>(groups[i])];
    for (size_t k = 0; k < own.size(); ++k) own[k] += measure.items[i][k];
  }
  return sums;
}

Interval middle_95(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  const auto at = [&](double share) {
    return values[static_cast<size_t>(std::lround(share * static_cast<double>(values.size() - 1)))];
  };
  return {at(0.025), at(0.975)};
}

// `score` of the sampled groups' sums, once per bootstrap sample. The draws depend only on the number of groups.
Interval bootstrap(const std::vector<const Measure*>& measures, const std::vector<int64_t>& groups, int64_t samples,
                   const std::function<double(const std::vector<Sums>&)>& score) {
  std::vector<std::vector<Sums>> by_group;
  for (const Measure* measure : measures) by_group.push_back(group_sums(*measure, groups));
  const auto n = static_cast<int64_t>(by_group.front().size());
  std::vector<double> values;
  for (int64_t sample = 0; sample < samples; ++sample) {
    Random random(1, "bootstrap", static_cast<uint64_t>(sample));
    std::vector<Sums> sums;
    for (const auto& own : by_group) sums.emplace_back(own.front().size(), 0.0);
    for (int64_t draw = 0; draw < n; ++draw) {
      const auto group = static_cast<size_t>(random.below(n));
      for (size_t m = 0; m < sums.size(); ++m) {
        for (size_t k = 0; k < sums[m].size(); ++k) sums[m][k] += by_group[m][group][k];
      }
    }
    values.push_back(score(sums));
  }
  return middle_95(std::move(values));
}

}  // namespace

Measure mean_percent(std::string name, const std::vector<double>& values) {
  Measure out{std::move(name), {}, [](const Sums& sums) { return sums[1] > 0 ? 100 * sums[0] / sums[1] : 0; }};
  for (const double value : values) out.items.push_back({value, 1});
  return out;
}

double value_of(const Measure& measure) {
  check(!measure.items.empty(), "a measure needs items");
  Sums sums(measure.items.front().size(), 0.0);
  for (const auto& item : measure.items) {
    for (size_t k = 0; k < sums.size(); ++k) sums[k] += item[k];
  }
  return measure.value(sums);
}

Interval bootstrap_interval(const Measure& measure, const std::vector<int64_t>& groups, int64_t samples) {
  return bootstrap({&measure}, groups, samples, [&](const std::vector<Sums>& sums) { return measure.value(sums[0]); });
}

Interval bootstrap_difference(const Measure& a, const Measure& b, const std::vector<int64_t>& groups, int64_t samples) {
  return bootstrap({&a, &b}, groups, samples,
                   [&](const std::vector<Sums>& sums) { return a.value(sums[0]) - b.value(sums[1]); });
}

}  // namespace precis

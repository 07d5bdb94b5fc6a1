// Scores with their uncertainty. A measure is a function of sums over items, so any subset of items can be scored.
// Contexts are resampled for 95 % bootstrap intervals (Efron and Tibshirani 1993), paired between two rows.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

namespace precis {

struct Measure {
  std::string name;                        // with its unit: "em_percent"
  std::vector<std::vector<double>> items;  // each item's contribution to the sums
  std::function<double(const std::vector<double>& sums)> value;
};

// The mean in percent of one value per item, 0 to 1.
Measure mean_percent(std::string name, const std::vector<double>& values);
double value_of(const Measure& measure);

struct Interval {
  double low = 0, high = 0;
};
// The 2.5 % and 97.5 % quantiles of `samples` values over groups drawn with replacement. `groups[i]`: the context of
// item i; items of one context are drawn together, since they are not independent.
Interval bootstrap_interval(const Measure& measure, const std::vector<int64_t>& groups, int64_t samples);

// The same for the difference a - b, with both measures over the same draws.
Interval bootstrap_difference(const Measure& a, const Measure& b, const std::vector<int64_t>& groups, int64_t samples);

}  // namespace precis

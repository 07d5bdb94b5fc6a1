// Value limits and special types of configuration fields.
#pragma once

#include <algorithm>
#include <cstdint>
#include <limits>
#include <string>
#include <vector>

namespace precis {

// Allowed values of a field, beyond its type.
struct Limits {
  double low = -std::numeric_limits<double>::infinity();
  double high = std::numeric_limits<double>::infinity();
  std::vector<std::string> choices;  // for strings: the allowed values
};
inline Limits at_least(double low) { return {.low = low}; }
inline Limits between(double low, double high) { return {.low = low, .high = high}; }
inline Limits one_of(std::vector<std::string> choices) { return {.choices = std::move(choices)}; }

// A compression ratio, or a list from which each training batch samples one. Converts to its first value.
struct Ratio {
  std::vector<int64_t> values;
  Ratio(int64_t ratio = 4) : values{ratio} {}
  operator int64_t() const { return values.front(); }
  int64_t smallest() const { return *std::min_element(values.begin(), values.end()); }
  bool has(int64_t ratio) const { return std::find(values.begin(), values.end(), ratio) != values.end(); }
};

}  // namespace precis

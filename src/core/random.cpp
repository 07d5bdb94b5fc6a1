#include "precis/core/random.h"

#include "precis/core/error.h"

namespace precis {
namespace {

uint64_t mix(uint64_t x) {
  x += 0x9E3779B97F4A7C15ull;
  x = (x ^ (x >> 30)) * 0xBF58476D1CE4E5B9ull;
  x = (x ^ (x >> 27)) * 0x94D049BB133111EBull;
  return x ^ (x >> 31);
}

}  // namespace

Random::Random(uint64_t seed, std::string_view stream, uint64_t index) : key_(mix(seed)) {
  for (const char c : stream) key_ = mix(key_ ^ static_cast<unsigned char>(c));
  key_ = mix(key_ ^ index);
}

uint64_t Random::next() { return mix(key_ ^ mix(counter_++)); }

int64_t Random::below(int64_t bound) {
  check(bound >= 1, "Random::below needs a bound of at least 1");
  const auto range = static_cast<uint64_t>(bound);
  const uint64_t limit = UINT64_MAX - UINT64_MAX % range;  // no bias towards small values
  uint64_t value = next();
  while (value >= limit) value = next();
  return static_cast<int64_t>(value % range);
}

int64_t Random::between(int64_t low, int64_t high) { return low + below(high - low + 1); }

double Random::uniform() { return static_cast<double>(next() >> 11) * 0x1.0p-53; }

}  // namespace precis

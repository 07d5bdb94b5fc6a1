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

Permutation::Permutation(int64_t size, uint64_t seed, std::string_view stream, uint64_t index)
    : size_(static_cast<uint64_t>(size)) {
  check(size >= 1, "a permutation needs a size of at least 1");
  while (2 * half_bits_ < 64 && (uint64_t{1} << (2 * half_bits_)) < size_) ++half_bits_;
  Random random(seed, stream, index);
  for (uint64_t& key : keys_) key = random.next();
}

int64_t Permutation::operator()(int64_t i) const {
  check(i >= 0 && static_cast<uint64_t>(i) < size_, "a permutation's index is out of range");
  const uint64_t mask = (uint64_t{1} << half_bits_) - 1;
  auto value = static_cast<uint64_t>(i);
  do {
    uint64_t left = value >> half_bits_, right = value & mask;
    for (const uint64_t key : keys_) {
      const uint64_t next = left ^ (mix(right ^ key) & mask);
      left = right;
      right = next;
    }
    value = left << half_bits_ | right;
  } while (value >= size_);
  return static_cast<int64_t>(value);
}

}  // namespace precis

// Counter-based random numbers: value n of stream (seed, name) is a pure function. Resuming needs no saved state, and
// two streams never share state. The mixing function is SplitMix64 (Steele et al., OOPSLA 2014).
#pragma once

#include <cstdint>
#include <string_view>
#include <utility>
#include <vector>

namespace precis {

class Random {
 public:
  explicit Random(uint64_t seed, std::string_view stream = "", uint64_t index = 0);

  uint64_t next();
  int64_t below(int64_t bound);                // uniform in [0, bound), bound >= 1
  int64_t between(int64_t low, int64_t high);  // uniform in [low, high]
  double uniform();                            // uniform in [0, 1)
  template <class T>
  const T& pick(const std::vector<T>& pool) {
    return pool[static_cast<size_t>(below(static_cast<int64_t>(pool.size())))];
  }
  template <class T>
  void shuffle(std::vector<T>& items) {
    for (size_t i = items.size(); i > 1; --i)
      std::swap(items[i - 1], items[static_cast<size_t>(below(static_cast<int64_t>(i)))]);
  }

 private:
  uint64_t key_, counter_ = 0;
};

// A permutation of 0 … size - 1, computed on demand: entry i of (seed, stream, index) is a pure function. A Feistel
// network over the next even number of bits with cycle walking (Black and Rogaway, CT-RSA 2002).
class Permutation {
 public:
  Permutation(int64_t size, uint64_t seed, std::string_view stream = "", uint64_t index = 0);
  int64_t operator()(int64_t i) const;

 private:
  uint64_t size_, keys_[6];
  int half_bits_ = 1;
};

}  // namespace precis

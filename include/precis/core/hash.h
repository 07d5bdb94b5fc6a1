// Fingerprints: incremental 128-bit xxHash3, as 32 hexadecimal digits.
#pragma once

#include <cstddef>
#include <memory>
#include <string>
#include <string_view>

namespace precis {

class Hasher {
 public:
  Hasher();
  ~Hasher();
  Hasher& update(const void* data, size_t bytes);
  Hasher& update(std::string_view text) { return update(text.data(), text.size()); }
  std::string hex() const;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

inline std::string hash_hex(std::string_view bytes) { return Hasher().update(bytes).hex(); }

}  // namespace precis

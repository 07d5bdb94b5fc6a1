// GGUF files as bytes, for tests of what reads them.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace precis::testing {

std::string little_endian(uint64_t value, size_t bytes);

class GgufWriter {
 public:
  // The smallest decoder: one layer, width 8, 2 heads, 4 tokens, weights of 0; `family` is its architecture.
  static GgufWriter tiny(const std::string& architecture);

  GgufWriter& text(const std::string& key, const std::string& value);
  GgufWriter& number(const std::string& key, uint32_t value);
  GgufWriter& real(const std::string& key, float value);
  GgufWriter& numbers(const std::string& key, const std::vector<uint32_t>& list);
  GgufWriter& flags(const std::string& key, const std::vector<bool>& list);
  // Shape slowest axis first, as in LibTorch; `data` as in the file.
  GgufWriter& tensor(const std::string& name, const std::vector<int64_t>& shape, uint32_t type, std::string data);
  GgufWriter& floats(const std::string& name, const std::vector<int64_t>& shape, const std::vector<float>& values);
  GgufWriter& without(const std::string& name);  // removes a key or a tensor

  // `alignment`: of tensor data, as general.alignment says; 32 if it does not.
  std::string bytes(size_t alignment = 32, uint32_t version = 3) const;

 private:
  struct Item {
    std::string name, head, data;  // a key: its type and value; a tensor: its shape and type, and its data
  };
  std::vector<Item> keys_, tensors_;
};

}  // namespace precis::testing

// The GGUF container (versions 2 and 3): metadata and the tensor directory, read from a memory map.
// Every size and offset is checked against the file before it is used; tensor data is dequantised in `weights`.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <variant>
#include <vector>

#include "precis/core/file.h"

namespace precis {

struct GgufValue;
using GgufArray = std::vector<GgufValue>;
struct GgufValue {
  std::variant<uint64_t, int64_t, double, bool, std::string, GgufArray> value;
};

struct GgufTensor {
  uint32_t type = 0;           // ggml type number
  std::vector<int64_t> shape;  // slowest axis first, as in LibTorch (the file lists the fastest first)
  size_t offset = 0;           // from the start of the file
};

class GgufFile {
 public:
  explicit GgufFile(const std::filesystem::path& path);  // throws Error on any inconsistency

  const MappedFile& file() const { return file_; }
  std::string path() const { return file_.path().string(); }
  const std::map<std::string, GgufValue>& metadata() const { return metadata_; }
  const std::map<std::string, GgufTensor>& tensors() const { return tensors_; }

  bool has(const std::string& key) const { return metadata_.count(key) > 0; }
  // The value of `key`. Throws Error with the key's name if it is missing or has another type.
  int64_t integer(const std::string& key) const;
  double number(const std::string& key) const;
  bool boolean(const std::string& key, bool fallback) const;
  const std::string& text(const std::string& key) const;
  std::vector<std::string> texts(const std::string& key) const;
  std::vector<int64_t> integers(const std::string& key) const;

 private:
  const GgufValue& at(const std::string& key) const;

  MappedFile file_;
  std::map<std::string, GgufValue> metadata_;
  std::map<std::string, GgufTensor> tensors_;
};

}  // namespace precis

// The GGUF container (versions 2 and 3): metadata and the tensor directory, read from a memory map.
// Every size and offset is checked against the file before it is used; tensor data is dequantised in `weights`.
// A split model (NAME-00001-of-00003.gguf) is read as one, given any of its parts.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <string_view>
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
  size_t part = 0;             // the file that holds it
  size_t offset = 0;           // from the start of that file
};

class GgufFile {
 public:
  explicit GgufFile(const std::filesystem::path& path);  // throws Error on any inconsistency

  std::string path() const { return parts_.front()->path().string(); }              // of the first part
  const std::vector<std::unique_ptr<MappedFile>>& parts() const { return parts_; }  // one, or those of a split
  std::string_view data(const GgufTensor& tensor) const;  // from the tensor's first byte to the end of its file
  const std::map<std::string, GgufValue>& metadata() const { return metadata_; }
  const std::map<std::string, GgufTensor>& tensors() const { return tensors_; }

  bool has(const std::string& key) const { return metadata_.count(key) > 0; }
  // The value of `key`. Throws Error with the key's name if it is missing or has another type.
  // `integer` also takes a list of equal numbers, as written for values by layer.
  int64_t integer(const std::string& key) const;
  double number(const std::string& key) const;
  bool boolean(const std::string& key, bool fallback) const;
  const std::string& text(const std::string& key) const;
  std::vector<std::string> texts(const std::string& key) const;
  std::vector<int64_t> integers(const std::string& key) const;

 private:
  const GgufValue& at(const std::string& key) const;

  // Reads one file of a model into parts_ and tensors_, and returns its metadata.
  std::map<std::string, GgufValue> add_part(const std::filesystem::path& path);
  void add_split(const std::filesystem::path& path);

  std::vector<std::unique_ptr<MappedFile>> parts_;
  std::map<std::string, GgufValue> metadata_;
  std::map<std::string, GgufTensor> tensors_;
};

}  // namespace precis

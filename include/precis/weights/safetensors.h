// safetensors files: strict reading from a memory map, atomic writing. Every offset, size and name in the header is
// checked before use; tensors must cover the data exactly, without overlap. (huggingface/safetensors, format.)
#pragma once

#include <ATen/core/Tensor.h>

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "precis/core/file.h"

namespace precis {

using at::Tensor;
using TensorMap = std::map<std::string, Tensor>;  // by name, in order of name
using Metadata = std::map<std::string, std::string>;

class SafetensorsFile {
 public:
  explicit SafetensorsFile(const std::filesystem::path& path);  // throws Error on any inconsistency

  struct Entry {
    at::ScalarType dtype;
    std::vector<int64_t> shape;
    size_t begin, end;  // bytes, from the start of the data
  };
  const std::map<std::string, Entry>& entries() const { return entries_; }
  const Metadata& metadata() const { return metadata_; }
  std::string path() const { return file_->path().string(); }

  // The tensor as a view of the map (copied only if unaligned). Throws Error if there is none of that name.
  Tensor tensor(const std::string& name) const;
  TensorMap tensors() const;

 private:
  std::shared_ptr<MappedFile> file_;
  std::map<std::string, Entry> entries_;
  Metadata metadata_;
  size_t data_start_ = 0;
};

// Whether no entry of a floating-point tensor is NaN or infinite; true for other dtypes.
bool all_finite(const Tensor& tensor);

// Writes CPU copies of the tensors atomically.
void write_safetensors(const std::filesystem::path& path, const TensorMap& tensors, const Metadata& metadata = {});

}  // namespace precis

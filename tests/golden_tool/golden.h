// precis-golden: runs golden cases in the format of docs/golden-cases.md and prints one line per tensor.
#pragma once

#include <filesystem>

#include "precis/core/json.h"
#include "precis/weights/safetensors.h"

namespace precis::golden {

// Compares computed tensors with a case's expected ones. Every expected tensor must be compared.
class Comparison {
 public:
  Comparison(std::string title, TensorMap expected) : title_(std::move(title)), expected_(std::move(expected)) {}

  bool expects(const std::string& name) const { return expected_.count(name) > 0; }
  // Floating-point tensors: |found - expected| at most absolute + relative * max(floor, largest |expected|).
  void close(const std::string& name, const Tensor& found, double absolute, double relative = 0, double floor = 0);
  void equal(const std::string& name, const Tensor& found);  // integers and masks
  void note(const std::string& name, bool passed, const std::string& text);
  void finish();  // fails on expected tensors that were not compared

  bool passed() const { return passed_; }
  const Tensor& expected(const std::string& name) const { return expected_.at(name); }

 private:
  std::string title_;
  TensorMap expected_;
  std::set<std::string> done_;
  bool passed_ = true;
};

bool run_decoder_case(const std::filesystem::path& folder);
bool run_compressor_case(const std::filesystem::path& folder);
bool run_table(const std::filesystem::path& file);
bool run_tokenizer_vectors(const std::filesystem::path& file, const std::string& model);
bool run_real_model(const std::filesystem::path& folder, const std::string& model);

inline std::string yes_no(bool value) { return value ? "yes" : "no"; }
Tensor tensor_of(const Json& rows);  // int64 from nested lists

}  // namespace precis::golden

// Shared test helpers: a temporary folder, tiny random decoders, and the paths of shared data.
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <memory>
#include <string>

#include "precis/compress/compressor.h"

namespace precis::testing {

class TemporaryFolder {
 public:
  TemporaryFolder();
  ~TemporaryFolder();
  std::filesystem::path operator/(const std::string& name) const { return path_ / name; }
  const std::filesystem::path& path() const { return path_; }

 private:
  std::filesystem::path path_;
};

void write_text(const std::filesystem::path& path, const std::string& text);

// ../shared beside the project; tests that need it are skipped if it does not exist.
std::filesystem::path shared_folder();
std::filesystem::path smollm2_file();  // models/SmolLM2-135M-Instruct.Q4_1.gguf

// A random Llama decoder as a Hugging Face folder: 2 layers, D 32, 4 heads, 2 kv heads, V 64.
void write_tiny_model(const std::filesystem::path& folder, const Json& changes = Json::object());
std::shared_ptr<const Decoder> tiny_decoder(const std::string& device = "cpu", int64_t positions = 256);

// The message of the Error that `call` throws; fails the test if it throws none.
std::string error_of(const std::function<void()>& call);

// Whether `text` contains `part`; the failure message shows both. Used by EXPECT_CONTAINS.
::testing::AssertionResult contains(const char*, const char*, const std::string& text, const std::string& part);

// Largest absolute difference of two tensors' elements.
double largest_difference(const Tensor& a, const Tensor& b);

// The larger number, or NaN if either is NaN: std::max would ignore a NaN in its second argument.
double larger(double a, double b);

// Random contexts of the given lengths, one batch.
TokenBatch random_contexts(const std::vector<int64_t>& lengths, uint64_t seed = 1);
TokenBatch one_of(const TokenBatch& batch, int64_t b);

// Compressors of every kind around tiny_decoder(), with segments of 16 tokens and non-zero adapters.
struct CompressorCase {
  std::string name;
  std::vector<std::string> overrides;  // the first one names the method

  std::string form() const {
    return std::find(overrides.begin(), overrides.end(), "compressor.form=default") == overrides.end() ? "published"
                                                                                                       : "default";
  }
  std::string method() const { return overrides.front().substr(std::string("compressor.method=").size()); }
};
const std::vector<CompressorCase>& compressor_cases();
std::shared_ptr<Compressor> make_compressor(const CompressorCase& c, const std::string& device = "cpu");

// Random task tokens of the given lengths, supervised if `training`.
TaskTokens questions(Task task, const std::vector<int64_t>& lengths, const std::vector<int64_t>& memory_index,
                     bool training, uint64_t seed = 9);

}  // namespace precis::testing

#define EXPECT_CONTAINS(text, part) EXPECT_PRED_FORMAT2(::precis::testing::contains, text, part)
#define ASSERT_CONTAINS(text, part) ASSERT_PRED_FORMAT2(::precis::testing::contains, text, part)

#define PRECIS_SKIP_WITHOUT(path) \
  if (!std::filesystem::exists(path)) GTEST_SKIP() << "skipped: " << (path) << " not found"

// GGUF files as they are out there: block formats, split models, alignment.
#include <torch/types.h>

#include "gguf_writer.h"
#include "precis/weights/checkpoint.h"
#include "precis/weights/dequantize.h"
#include "support.h"

namespace precis::testing {
namespace {

namespace fs = std::filesystem;

bool same_bits(const Tensor& a, const Tensor& b) { return a.view(torch::kInt).equal(b.view(torch::kInt)); }

// Random blocks and their weights by the `gguf` Python package (scripts/make_gguf_blocks.py).
TEST(GgufBlocks, EqualTheReferenceToTheBit) {
  const TemporaryFolder folder;
  const SafetensorsFile blocks(fs::path(PRECIS_SOURCE_DIR) / "tests/data/gguf_blocks.safetensors");
  std::map<std::string, uint32_t> types;
  for (uint32_t type = 0; type < 64; ++type) types[gguf_type_name(type)] = type;
  size_t compared = 0;
  for (const auto& [name, entry] : blocks.entries()) {
    if (!name.ends_with(".bytes")) continue;
    const std::string kind = name.substr(0, name.size() - 6);
    ASSERT_EQ(types.count(kind), 1) << kind;
    const Tensor bytes = blocks.tensor(name), weights = blocks.tensor(kind + ".weights");
    const std::string data(static_cast<const char*>(bytes.data_ptr()), bytes.nbytes());
    write_text(folder / "m.gguf", GgufWriter().tensor("t", weights.sizes().vec(), types.at(kind), data).bytes());
    EXPECT_TRUE(same_bits(dequantize(GgufFile(folder / "m.gguf"), "t"), weights)) << kind;
    ++compared;
  }
  EXPECT_EQ(compared, 28);  // all that the package dequantises, F64 and Q8_K
}

TEST(GgufBlocks, TypesThatAreNoWeightsAreNamed) {
  const TemporaryFolder folder;
  write_text(folder / "m.gguf", GgufWriter().tensor("t", {32}, 31, std::string(64, 'x')).bytes());
  const std::string message = error_of([&] { dequantize(GgufFile(folder / "m.gguf"), "t"); });
  EXPECT_CONTAINS(message, "ggml type 31 (Q4_0_4_4)");
  EXPECT_CONTAINS(message, "Q4_K_M");
}

TEST(GgufFiles, AlignmentAndVersions) {
  const TemporaryFolder folder;
  for (const size_t alignment : {1, 8, 64, 4096}) {
    GgufWriter w;
    w.number("general.alignment", static_cast<uint32_t>(alignment));
    w.floats("a", {3}, {1, 2, 3}).floats("b", {1, 2}, {4, 5});
    write_text(folder / "m.gguf", w.bytes(alignment));
    const GgufFile file(folder / "m.gguf");
    EXPECT_TRUE(dequantize(file, "a").equal(torch::tensor({1.0F, 2.0F, 3.0F}))) << alignment;
    EXPECT_TRUE(dequantize(file, "b").equal(torch::tensor({{4.0F, 5.0F}}))) << alignment;
  }
  write_text(folder / "m.gguf", GgufWriter().bytes(32, 3u << 24));
  EXPECT_CONTAINS(error_of([&] { GgufFile(folder / "m.gguf"); }), "big-endian");
  write_text(folder / "m.gguf", "version https://git-lfs.example/spec/v1\noid sha256:0\nsize 9\n");
  EXPECT_CONTAINS(error_of([&] { GgufFile(folder / "m.gguf"); }), "git lfs pull");
}

class SplitModel : public ::testing::Test {
 protected:
  void write(int part, const GgufWriter& tensors, int count = 3, int total = 3) {
    GgufWriter w = tensors;
    w.number("split.no", static_cast<uint32_t>(part)).number("split.count", static_cast<uint32_t>(count));
    w.number("split.tensors.count", static_cast<uint32_t>(total));
    write_text(path(part), w.bytes());
  }
  fs::path path(int part) const { return folder_ / ("m-0000" + std::to_string(part + 1) + "-of-00003.gguf"); }
  void write_all() {
    write(0, GgufWriter().text("general.architecture", "llama").floats("a", {1}, {1}));
    write(1, GgufWriter().floats("b", {2}, {2, 3}));
    write(2, GgufWriter().floats("c", {1}, {4}));
  }

  TemporaryFolder folder_;
};

TEST_F(SplitModel, AnyPartOpensTheWholeModel) {
  write_all();
  for (int part = 0; part < 3; ++part) {
    const GgufFile file(path(part));
    EXPECT_EQ(file.path(), path(0).string());
    EXPECT_EQ(file.text("general.architecture"), "llama");
    EXPECT_EQ(dequantize(file, "a").item<float>(), 1);
    EXPECT_EQ(dequantize(file, "b")[1].item<float>(), 3);
    EXPECT_EQ(dequantize(file, "c").item<float>(), 4);
  }
  const auto fingerprint = [&](int part) { return open_gguf_checkpoint(path(part), {1, 1})->fingerprint(); };
  EXPECT_EQ(fingerprint(0), fingerprint(2));
  const std::string before = fingerprint(0);
  write(2, GgufWriter().floats("c", {1}, {5}));
  EXPECT_NE(fingerprint(0), before);
}

TEST_F(SplitModel, WhatIsWrongIsNamed) {
  write_all();
  fs::remove(path(1));
  for (const int part : {0, 2}) {
    EXPECT_CONTAINS(error_of([&] { GgufFile(path(part)); }), "part 2 of 3");
    EXPECT_CONTAINS(error_of([&] { GgufFile(path(part)); }), "m-00002-of-00003.gguf");
  }
  fs::copy_file(path(2), path(1));
  EXPECT_CONTAINS(error_of([&] { GgufFile(path(0)); }), "another part");
  write(1, GgufWriter().floats("a", {2}, {2, 3}));
  EXPECT_CONTAINS(error_of([&] { GgufFile(path(0)); }), "duplicate tensor name");
  write(1, GgufWriter());
  EXPECT_CONTAINS(error_of([&] { GgufFile(path(0)); }), "do not belong together");
  fs::rename(path(0), folder_ / "renamed.gguf");
  EXPECT_CONTAINS(error_of([&] { GgufFile(folder_ / "renamed.gguf"); }), "NAME-00001-of-00003.gguf");
}

}  // namespace
}  // namespace precis::testing

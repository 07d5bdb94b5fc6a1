// Memory files from another compressor, or altered, truncated or hostile ones: rejected with the reason and both names.
#include <gtest/gtest.h>
#include <torch/types.h>

#include <fstream>

#include "precis/compress/made_by.h"
#include "precis/core/random.h"
#include "precis/core/strings.h"
#include "precis/memory/memory_blocks.h"
#include "precis/memory/memory_file.h"
#include "support.h"

namespace precis {
namespace {

using testing::error_of;
using testing::make_compressor;

class MemoryFiles : public ::testing::Test {
 protected:
  void SetUp() override {
    compressor_->eval();
    const at::NoGradGuard no_gradient;
    file_ = {compressor_->compress(testing::random_contexts({37})), "source", compressor_hash(*compressor_)};
    save_memory(path_, file_);
  }
  // The error from reading `file` with this fixture's compressor.
  std::string refusal(const MemoryFile& file) {
    save_memory(path_, file);
    return error_of([&] { require_made_by(load_memory(path_), *compressor_, file_.compressor_hash, path_.string()); });
  }
  // The error from reading a file with changed metadata or tensors, and therefore a wrong checksum.
  std::string damage(const std::function<void(Metadata&, TensorMap&)>& change) {
    const SafetensorsFile raw(path_);
    Metadata metadata = raw.metadata();
    TensorMap tensors;
    for (const auto& [name, entry] : raw.entries()) tensors[name] = raw.tensor(name).clone();
    change(metadata, tensors);
    write_safetensors(folder_ / "damaged.safetensors", tensors, metadata);
    return error_of([&] { load_memory(folder_ / "damaged.safetensors"); });
  }

  // The same with the right checksum.
  std::string repaired(const std::function<void(TensorMap&)>& change) {
    return damage([&](Metadata& metadata, TensorMap& tensors) {
      change(tensors);
      metadata["checksum"] = memory_checksum(metadata, tensors);
    });
  }

  const testing::TemporaryFolder folder_;
  const std::filesystem::path path_ = folder_ / "m.safetensors";
  const std::shared_ptr<Compressor> compressor_ = make_compressor({"sac", {"compressor.method=sac"}});
  MemoryFile file_;
};

TEST_F(MemoryFiles, FromAnotherCompressorAreRefusedWithBothNames) {
  const auto expect = [&](const MemoryFile& file, const std::vector<std::string>& words) {
    const std::string message = refusal(file);
    for (const auto& word : words) EXPECT_CONTAINS(message, word) << word << " in: " << message;
  };
  MemoryFile other = file_;
  other.memory.origin.base_fingerprint = "another-model";
  expect(other, {"base model", "another-model", compressor_->decoder().fingerprint()});
  other = file_;
  other.memory.origin.tokenizer_hash = "another-tokenizer";
  expect(other, {"tokenizer", "another-tokenizer", "hash"});
  other = file_;
  other.memory.origin.method = "icae";
  expect(other, {"method", "icae", "sac"});
  other = file_;
  other.memory.origin.method_version = 7;
  expect(other, {"method version", "7", "1"});
  other = file_;
  other.memory.origin.ratio = 9;
  expect(other, {"another ratio", "found 9", "expected 5"});
  other = file_;
  other.compressor_hash = "another-training";
  expect(other, {"trained compressor", "another-training", file_.compressor_hash});
}

TEST_F(MemoryFiles, LongerThanTheDecodersPositionsAreRefused) {
  MemoryFile other = file_;
  other.memory.source_tokens = torch::tensor({256});
  place_memory(other.memory);
  EXPECT_CONTAINS(refusal(other), "longer than the decoder's positions");
}

TEST_F(MemoryFiles, OfOtherShapesAreRefused) {
  MemoryFile other = file_;
  std::get<KvMemory>(other.memory.content).layers.pop_back();
  EXPECT_CONTAINS(refusal(other), "number of layers");
}

TEST_F(MemoryFiles, WithImpossibleNumbersAreRefusedThoughTheChecksumFits) {
  MemoryFile other = file_;
  other.memory.position_ids = file_.memory.position_ids - 5;
  EXPECT_CONTAINS(refusal(other), "values of position_ids");
  other = file_;
  other.memory.documents = {torch::full_like(file_.memory.segments, 3), torch::tensor({{20, 17}})};
  EXPECT_CONTAINS(refusal(other), "values of documents");
}

TEST_F(MemoryFiles, ThatAreNotNumbersAreNeitherWrittenNorRead) {
  for (const double value : {static_cast<double>(NAN), static_cast<double>(INFINITY)}) {
    MemoryFile other = file_;
    auto& layers = std::get<KvMemory>(other.memory.content).layers;
    layers.back().v = layers.back().v.clone();
    layers.back().v[0][0][0][0] = value;
    EXPECT_CONTAINS(error_of([&] { save_memory(folder_ / "new.safetensors", other); }), "NaN or infinity");
    EXPECT_FALSE(std::filesystem::exists(folder_ / "new.safetensors"));
  }
  EXPECT_CONTAINS(repaired([](TensorMap& tensors) { tensors["layers.1.keys"][0][0][0] = NAN; }), "NaN or infinity");
}

TEST_F(MemoryFiles, WhoseLaterLayersDifferAreRefusedThoughTheChecksumFits) {
  EXPECT_CONTAINS(repaired([](TensorMap& t) { t["layers.1.keys"] = t["layers.1.keys"].narrow(2, 0, 4).clone(); }),
                  "shape of layers.1.keys");
  EXPECT_CONTAINS(repaired([](TensorMap& t) { t["layers.1.values"] = t["layers.1.values"].to(torch::kBFloat16); }),
                  "dtype of layers.1");
  EXPECT_CONTAINS(repaired([](TensorMap& t) { t["layers.0.keys"] = t["layers.0.keys"].to(torch::kLong); }),
                  "dtype of layers.0.keys");
}

TEST_F(MemoryFiles, AnyAlteredByteIsNoticed) {
  const std::string bytes = read_file(path_);
  Random random(1, "altered bytes");
  for (int i = 0; i < 200; ++i) {
    std::string altered = bytes;
    const auto at = static_cast<size_t>(random.below(static_cast<int64_t>(bytes.size())));
    altered[at] = static_cast<char>(altered[at] ^ (1 << random.below(8)));
    testing::write_text(folder_ / "altered.safetensors", altered);
    EXPECT_THROW(load_memory(folder_ / "altered.safetensors"), Error) << "byte " << at;
  }
}

TEST_F(MemoryFiles, TruncatedAnywhereTheyAreRefused) {
  const std::string bytes = read_file(path_);
  for (size_t size = 0; size < bytes.size(); size += 97) {
    testing::write_text(folder_ / "short.safetensors", bytes.substr(0, size));
    EXPECT_THROW(load_memory(folder_ / "short.safetensors"), Error) << size << " bytes";
  }
}

TEST_F(MemoryFiles, OtherFormatsAreNamed) {
  EXPECT_CONTAINS(damage([](Metadata& m, TensorMap&) { m["format_version"] = "99"; }), "format version");
  EXPECT_CONTAINS(damage([](Metadata& m, TensorMap&) { m.erase("format"); }), "not a memory file");
  EXPECT_CONTAINS(damage([](Metadata& m, TensorMap&) { m["ratio"] = "8"; }), "altered");
  EXPECT_CONTAINS(damage([](Metadata&, TensorMap& t) { t["layers.0.keys"].add_(1); }), "altered");
  EXPECT_CONTAINS(damage([](Metadata&, TensorMap& t) { t.erase("segments"); }), "altered");
}

TEST_F(MemoryFiles, OfDifferentMethodsCannotBeConcatenated) {
  const at::NoGradGuard no_gradient;
  const auto other = make_compressor({"x500", {"compressor.method=500x"}});
  const Memory memory = other->compress(testing::random_contexts({9}));
  const std::string message = error_of([&] { concatenate({file_.memory, memory}, compressor_->decoder()); });
  EXPECT_CONTAINS(message, "different methods") << message;
}

}  // namespace
}  // namespace precis

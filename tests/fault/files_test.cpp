// Missing, truncated, corrupt and hostile files: each gives one clear Error, no crash and no guess.
#include <gtest/gtest.h>
#include <torch/types.h>

#include <cmath>
#include <cstring>
#include <map>

#include "precis/compress/checkpoint.h"
#include "precis/core/gguf.h"
#include "precis/core/strings.h"
#include "precis/data/passage_set.h"
#include "precis/model/generate.h"
#include "precis/train/run_folder.h"
#include "precis/weights/dequantize.h"
#include "support.h"

namespace precis {
namespace {

using testing::error_of;
using testing::TemporaryFolder;
using testing::tiny_decoder;
using testing::write_text;
using testing::write_tiny_model;

std::string le64(uint64_t value) { return std::string(reinterpret_cast<const char*>(&value), 8); }
std::string le32(uint32_t value) { return std::string(reinterpret_cast<const char*>(&value), 4); }
std::string safetensors(const std::string& header, const std::string& data) {
  return le64(header.size()) + header + data;
}

class HostileSafetensors : public ::testing::TestWithParam<std::pair<std::string, std::string>> {};

TEST_P(HostileSafetensors, IsRefusedWithAReason) {
  const TemporaryFolder folder;
  write_text(folder / "t.safetensors", GetParam().first);
  const std::string message = error_of([&] { SafetensorsFile file(folder / "t.safetensors"); });
  EXPECT_CONTAINS(message, GetParam().second) << message;
  EXPECT_CONTAINS(message, "t.safetensors");
}

const std::string eight(8, '\0');
INSTANTIATE_TEST_SUITE_P(
    All, HostileSafetensors,
    ::testing::Values(
        std::pair{std::string("abc"), "too short"}, std::pair{le64(UINT64_MAX) + "{}", "truncated"},
        std::pair{safetensors("[1]", ""), "not an object"}, std::pair{safetensors("{\"a\":", ""), "not valid JSON"},
        std::pair{safetensors("{\"a\xff\":1}", ""), "not valid JSON"},
        std::pair{
            safetensors(
                R"({"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]},"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}})",
                eight),
            "duplicate key"},
        std::pair{safetensors(R"({"a":{"dtype":"F32","shape":[2],"data_offsets":[0,80]}})", eight), "outside the file"},
        std::pair{safetensors(R"({"a":{"dtype":"F32","shape":[2],"data_offsets":[8,0]}})", eight), "outside the file"},
        std::pair{safetensors(R"({"a":{"dtype":"F32","shape":[3],"data_offsets":[0,8]}})", eight), "disagree"},
        std::pair{safetensors(R"({"a":{"dtype":"F32","shape":[4611686018427387904,4],"data_offsets":[0,8]}})", eight),
                  "impossible shape"},
        std::pair{safetensors(R"({"a":{"dtype":"F32","shape":[-2],"data_offsets":[0,8]}})", eight), "bad number"},
        std::pair{
            safetensors(
                R"({"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]},"b":{"dtype":"F32","shape":[1],"data_offsets":[4,8]}})",
                eight),
            "overlaps"},
        std::pair{safetensors(R"({"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}})", eight), "does not cover"},
        std::pair{safetensors(R"({"a":{"dtype":"F32","shape":[1],"data_offsets":[4,8]}})", eight), "hole"},
        std::pair{safetensors(R"({"a":{"dtype":"Q9","shape":[1],"data_offsets":[0,4]}})", eight),
                  "unsupported dtype"}));

TEST(Safetensors, RoundTripIsExactInEveryDtype) {
  const TemporaryFolder folder;
  TensorMap tensors = {{"f", torch::randn({3, 5})},
                       {"h", torch::randn({7}).to(torch::kHalf)},
                       {"b", torch::randn({2, 2}).to(torch::kBFloat16)},
                       {"i", torch::tensor({1, -2})},
                       {"u", torch::ones({3}, torch::kByte)},
                       {"t", torch::ones({1}, torch::kBool)},
                       {"d", torch::randn({2}).to(torch::kDouble)}};
  write_safetensors(folder / "t.safetensors", tensors, {{"key", "value"}});
  const SafetensorsFile file(folder / "t.safetensors");
  for (const auto& [name, tensor] : tensors) EXPECT_TRUE(file.tensor(name).equal(tensor)) << name;
  EXPECT_EQ(file.metadata().at("key"), "value");
  EXPECT_CONTAINS(error_of([&] { file.tensor("none"); }), "missing");
}

std::string gguf(uint64_t tensors, uint64_t keys, const std::string& rest) {
  return "GGUF" + le32(3) + le64(tensors) + le64(keys) + rest;
}
std::string gguf_text(const std::string& text) { return le64(text.size()) + text; }

class HostileGguf : public ::testing::TestWithParam<std::pair<std::string, std::string>> {};

TEST_P(HostileGguf, IsRefusedWithAReason) {
  const TemporaryFolder folder;
  write_text(folder / "m.gguf", GetParam().first);
  const std::string message = error_of([&] { GgufFile file(folder / "m.gguf"); });
  EXPECT_CONTAINS(message, GetParam().second) << message;
}

INSTANTIATE_TEST_SUITE_P(
    All, HostileGguf,
    ::testing::Values(
        std::pair{std::string("NOPE"), "not a GGUF"},
        std::pair{std::string("GGUF") + le32(99) + le64(0) + le64(0), "version"},
        std::pair{gguf(0, UINT64_MAX, ""), "larger than the file"},
        std::pair{gguf(UINT64_MAX, 0, ""), "larger than the file"},
        std::pair{gguf(0, 1, le64(1u << 30) + "abcdefghijklmnop"), "ends in the middle"},
        std::pair{gguf(0, 1, gguf_text("k") + le32(77) + eight), "unknown metadata type"},
        std::pair{gguf(0, 1, gguf_text("k") + le32(9) + le32(4) + le64(UINT64_MAX)), "larger than the file"},
        std::pair{gguf(1, 0, gguf_text("t") + le32(9) + std::string(40, '\1')), "axes"},
        std::pair{gguf(1, 0, gguf_text("t") + le32(1) + le64(UINT64_MAX) + le32(0) + le64(0)),
                  "impossible tensor size"},
        std::pair{gguf(1, 0, gguf_text("t") + le32(1) + le64(4) + le32(0) + le64(1u << 30)), "outside the file"}));

TEST(Gguf, ListsDoNotGrowBeyondAllBoundsInMemory) {
  const TemporaryFolder folder;
  constexpr uint64_t count = (uint64_t{1} << 24) + 1;  // items of one byte, of 40 in memory
  write_text(folder / "m.gguf", gguf(0, 1, gguf_text("k") + le32(9) + le32(0) + le64(count) + std::string(count, 'x')));
  EXPECT_CONTAINS(error_of([&] { GgufFile file(folder / "m.gguf"); }), "too many list items");
}

TEST(Gguf, DataPastTheEndAndUnknownTypesAreErrors) {
  const TemporaryFolder folder;
  const auto write = [&](uint32_t type) {
    write_text(folder / "m.gguf",
               gguf(1, 0, gguf_text("t") + le32(1) + le64(64) + le32(type) + le64(0)) + std::string(64, '\0'));
  };
  write(0);
  EXPECT_CONTAINS(error_of([&] { dequantize(GgufFile(folder / "m.gguf"), "t"); }), "past the end");
  write(99);
  EXPECT_CONTAINS(error_of([&] { dequantize(GgufFile(folder / "m.gguf"), "t"); }), "unsupported quantisation");
}

// One block of known bytes per type, against values computed by hand from ggml's block layouts.
TEST(Gguf, BlocksDequantiseToTheirDefinition) {
  const TemporaryFolder folder;
  const auto values = [&](uint32_t type, int64_t weights, const std::string& block) {
    const std::string head =
        gguf(1, 0, gguf_text("t") + le32(1) + le64(static_cast<uint64_t>(weights)) + le32(type) + le64(0));
    write_text(folder / "m.gguf", head + std::string((32 - head.size() % 32) % 32, '\0') + block);
    return dequantize(GgufFile(folder / "m.gguf"), "t");
  };
  const std::string half_one("\x00\x3c", 2), half_two("\x00\x40", 2), half_half("\x00\x38", 2);
  const Tensor q8 = values(8, 32, half_half + std::string("\x02\xfe", 2) + std::string(30, '\0'));
  EXPECT_EQ(q8[0].item<float>(), 1.0f);
  EXPECT_EQ(q8[1].item<float>(), -1.0f);
  const Tensor q4 = values(2, 32, half_two + std::string(16, '\x9f'));  // low nibble 15, high 9
  EXPECT_EQ(q4[0].item<float>(), 14.0f);
  EXPECT_EQ(q4[16].item<float>(), 2.0f);
  const Tensor q41 = values(3, 32, half_two + half_one + std::string(16, '\x21'));
  EXPECT_EQ(q41[0].item<float>(), 3.0f);
  EXPECT_EQ(q41[31].item<float>(), 5.0f);
  const Tensor q50 =
      values(6, 32, half_one + std::string("\x01\x00\x00\x80", 4) + std::string(16, '\x00'));  // bits 0 and 31
  EXPECT_EQ(q50[0].item<float>(), 0.0f);
  EXPECT_EQ(q50[1].item<float>(), -16.0f);
  EXPECT_EQ(q50[31].item<float>(), 0.0f);
  const Tensor q51 = values(7, 32, half_one + half_two + std::string("\x02\x00\x00\x00", 4) + std::string(16, '\x03'));
  EXPECT_EQ(q51[0].item<float>(), 5.0f);
  EXPECT_EQ(q51[1].item<float>(), 21.0f);
  // Q4_K: all scales 1 (low 6 bits), all minima 0; sub-block 0 takes low nibbles, 1 high ones.
  std::string scales(12, '\0');
  for (int j = 0; j < 4; ++j) scales[static_cast<size_t>(j)] = 1;
  for (int j = 8; j < 12; ++j) scales[static_cast<size_t>(j)] = 1;
  const Tensor q4k = values(12, 256, half_two + half_one + scales + std::string(128, '\x53'));
  EXPECT_EQ(q4k[0].item<float>(), 6.0f);
  EXPECT_EQ(q4k[32].item<float>(), 10.0f);
  EXPECT_EQ(q4k[255].item<float>(), 10.0f);
  // Q6_K: low nibble 1, high bits 2 -> 33 - 32 = 1, scale 3, d 2.
  const Tensor q6k =
      values(14, 256, std::string(128, '\x11') + std::string(64, '\xaa') + std::string(16, '\x03') + half_two);
  EXPECT_TRUE(q6k.eq(6).all().item<bool>());
}

std::string float_bits(float value) {
  uint32_t bits;
  std::memcpy(&bits, &value, sizeof bits);
  return le32(bits);
}

// A GGUF file of keys and values, each as bytes behind its name, and one tensor.
struct GgufKeys {
  std::map<std::string, std::string> values;
  void text(const std::string& key, const std::string& value) { values[key] = le32(8) + gguf_text(value); }
  void number(const std::string& key, uint32_t value) { values[key] = le32(4) + le32(value); }
  void real(const std::string& key, float value) { values[key] = le32(6) + float_bits(value); }
  void texts(const std::string& key, const std::vector<std::string>& list) {
    values[key] = le32(9) + le32(8) + le64(list.size());
    for (const auto& item : list) values[key] += gguf_text(item);
  }
  void numbers(const std::string& key, const std::vector<uint32_t>& list) {
    values[key] = le32(9) + le32(4) + le64(list.size());
    for (const uint32_t item : list) values[key] += le32(item);
  }
  std::string file() const {
    std::string body;
    for (const auto& [key, value] : values) body += gguf_text(key) + value;
    std::string out =
        gguf(1, values.size(), body + gguf_text("token_embd.weight") + le32(2) + le64(8) + le64(4) + le32(0) + le64(0));
    out.resize((out.size() + 31) / 32 * 32 + 8 * 4 * 4, '\0');
    return out;
  }
};

// What GGUF metadata says by leaving a key out, or by another name.
TEST(Gguf, TokenizersOfOtherConverters) {
  const TemporaryFolder folder;
  GgufKeys keys;
  keys.text("tokenizer.ggml.model", "gpt2");
  keys.texts("tokenizer.ggml.tokens", {"<s>", "</s>", "<|eot|>", "a", "b", "c", "abc"});
  keys.numbers("tokenizer.ggml.token_type", {3, 3, 3, 1, 1, 1, 1});
  keys.texts("tokenizer.ggml.merges", {});
  keys.number("tokenizer.ggml.bos_token_id", 0);
  keys.number("tokenizer.ggml.eos_token_id", 1);
  const auto load = [&](const GgufKeys& own) {
    write_text(folder / "m.gguf", own.file());
    return load_tokenizer(folder / "m.gguf");
  };
  EXPECT_CONTAINS(error_of([&] { load(keys); }), "does not name its pre-tokenizer");
  keys.text("tokenizer.ggml.pre", "gpt-2");
  EXPECT_FALSE(load(keys)->adds_bos);
  EXPECT_EQ(load(keys)->encode("abc"), (TokenIds{3, 4, 5}));
  for (const char* name : {"llama-bpe", "llama3", "llama-v3"}) {
    keys.text("tokenizer.ggml.pre", name);
    EXPECT_TRUE(load(keys)->adds_bos) << name;
    EXPECT_EQ(load(keys)->encode("abc"), (TokenIds{6})) << name;  // whole pieces first
  }
  EXPECT_EQ(load(keys)->end_ids, (std::vector<int64_t>{1}));
  keys.number("tokenizer.ggml.eot_token_id", 2);
  EXPECT_EQ(load(keys)->end_ids, (std::vector<int64_t>{1, 2}));
}

TEST(Gguf, RopeScalingByAFactorAlone) {
  const TemporaryFolder folder;
  GgufKeys keys;
  keys.text("general.architecture", "llama");
  for (const auto& [key, value] : std::map<std::string, uint32_t>{{"block_count", 1},
                                                                  {"embedding_length", 8},
                                                                  {"feed_forward_length", 8},
                                                                  {"attention.head_count", 1},
                                                                  {"context_length", 64}})
    keys.number("llama." + key, value);
  keys.real("llama.attention.layer_norm_rms_epsilon", 1e-5F);
  const auto scaling = [&](const GgufKeys& own) {
    write_text(folder / "m.gguf", own.file());
    return decoder_config_from_gguf(GgufFile(folder / "m.gguf")).ropes.front().scaling;
  };
  const std::string none = scaling(keys).type;
  for (const char* key : {"llama.rope.scaling.factor", "llama.rope.scale_linear"}) {
    GgufKeys scaled = keys;
    scaled.real(key, 4);
    EXPECT_NE(none, "linear");
    EXPECT_EQ(scaling(scaled).type, "linear") << key;
    EXPECT_EQ(scaling(scaled).factor, 4) << key;
  }
}

TEST(Models, StrictReadingNamesWhatIsWrong) {
  const TemporaryFolder folder;
  write_tiny_model(folder.path());
  const auto message = [&] { return error_of([&] { load_decoder(folder.path()); }); };
  TensorMap tensors = SafetensorsFile(folder / "model.safetensors").tensors();
  for (auto& [name, tensor] : tensors) tensor = tensor.clone();
  const auto rewrite = [&](const TensorMap& t) { write_safetensors(folder / "model.safetensors", t); };

  TensorMap missing = tensors;
  missing.erase("model.layers.1.mlp.up_proj.weight");
  rewrite(missing);
  EXPECT_CONTAINS(message(), "model.layers.1.mlp.up_proj.weight is missing");
  TensorMap extra = tensors;
  extra["model.layers.2.mlp.up_proj.weight"] = torch::zeros({1});
  rewrite(extra);
  EXPECT_CONTAINS(message(), "model.layers.2.mlp.up_proj.weight");
  TensorMap bent = tensors;
  bent["model.norm.weight"] = torch::zeros({31});
  rewrite(bent);
  EXPECT_CONTAINS(message(), "wrong shape");
  rewrite(tensors);
  write_tiny_model(folder.path(), {{"rope_scaling", {{"rope_type", "mrope"}, {"factor", 2.0}}}});
  EXPECT_CONTAINS(message(), "mrope");
  write_tiny_model(folder.path(), {{"model_type", "gpt_neox"}});
  EXPECT_CONTAINS(message(), "gpt_neox");
  write_tiny_model(folder.path(), {{"num_hidden_layers", -1}});
  EXPECT_CONTAINS(message(), "num_hidden_layers");
  write_tiny_model(folder.path(), {{"num_hidden_layers", int64_t{1} << 31}});
  EXPECT_CONTAINS(message(), "impossible number of layers");
  write_tiny_model(folder.path());
  for (const double value : {static_cast<double>(NAN), static_cast<double>(-INFINITY)}) {
    TensorMap broken = tensors;
    broken["model.layers.1.mlp.up_proj.weight"] = tensors["model.layers.1.mlp.up_proj.weight"].clone();
    broken["model.layers.1.mlp.up_proj.weight"][3][3] = value;
    rewrite(broken);
    EXPECT_CONTAINS(message(), "model.layers.1.mlp.up_proj.weight: the tensor holds NaN or infinity");
  }
}

TEST(Models, Qwen3WithoutAHeadWidthHas128) {
  const TemporaryFolder folder;
  write_tiny_model(folder.path(), {{"model_type", "qwen3"}});
  Json config = read_json(folder / "config.json");
  config.erase("head_dim");
  EXPECT_EQ(decoder_config_from_hugging_face(config, "config.json").head_dim, 128);  // as transformers
  config["model_type"] = "llama";
  EXPECT_EQ(decoder_config_from_hugging_face(config, "config.json").head_dim, 8);
}

TEST(Models, ShardedCheckpointEqualsTheSingleFile) {
  const TemporaryFolder folder;
  write_tiny_model(folder.path());
  const auto whole = load_decoder(folder.path());
  TensorMap tensors = SafetensorsFile(folder / "model.safetensors").tensors(), first, second;
  Json map = Json::object();
  for (auto& [name, tensor] : tensors) {
    const bool early = first.size() * 2 < tensors.size();
    (early ? first : second)[name] = tensor.clone();
    map[name] = early ? "a.safetensors" : "b.safetensors";
  }
  std::filesystem::remove(folder / "model.safetensors");
  write_safetensors(folder / "a.safetensors", first);
  write_safetensors(folder / "b.safetensors", second);
  write_json(folder / "model.safetensors.index.json", {{"weight_map", map}});
  const auto sharded = load_decoder(folder.path());
  EXPECT_EQ(sharded->fingerprint(), whole->fingerprint());
  EXPECT_TRUE(sharded->embedding_table().equal(whole->embedding_table()));
  map["model.norm.weight"] = "../evil.safetensors";
  write_json(folder / "model.safetensors.index.json", {{"weight_map", map}});
  EXPECT_CONTAINS(error_of([&] { load_decoder(folder.path()); }), "bad shard name");
}

class BrokenDataSet : public ::testing::TestWithParam<std::pair<std::string, std::string>> {};

TEST_P(BrokenDataSet, IsRefusedWithAReason) {
  const TemporaryFolder folder;
  write_text(folder / "d.jsonl", GetParam().first);
  const std::string message = error_of([&] { read_qa(folder / "d.jsonl"); });
  EXPECT_CONTAINS(message, GetParam().second) << message;
}

INSTANTIATE_TEST_SUITE_P(
    All, BrokenDataSet,
    ::testing::Values(std::pair{std::string(""), "no questions"},
                      std::pair{std::string("{\"header\":{}}\n"), "no questions"},
                      std::pair{std::string("{\"header\":{}}\n{\"context\": \"c\", \"qas\": ["), "line 2"},
                      std::pair{
                          std::string(R"({"context": "c", "qas": [{"qid": "1", "question": "q", "answers": []}]})"),
                          "without answers"},
                      std::pair{std::string(R"({"context": " ", "qas": []})"), "empty context"},
                      std::pair{std::string(R"({"context": 3, "qas": []})"), "wrong type"},
                      std::pair{std::string("{\"context\": \"\xff\", \"qas\": []}"), "not valid JSON"}));

TEST(Compressors, AnotherBaseModelOrTokenizerIsRefusedWithBothNames) {
  const TemporaryFolder folder;
  const auto config = CompressorRegistry::built_in().defaults("pic");
  CompressorConfig small = config;
  small.segment_length = 16;
  small.lora.rank = 2;
  const auto compressor = CompressorRegistry::built_in().make(small, {tiny_decoder(), 1, true, "tokenizer-hash", 1});
  save_compressor(folder.path(), *compressor);
  write_text(folder / "tok/tokenizer.json",
             R"({"model": {"vocab": {"a": 0}, "merges": []}, "pre_tokenizer": {"type": "ByteLevel"}})");
  const auto tokenizer = load_tokenizer(folder / "tok");
  const std::string other_tokenizer =
      error_of([&] { load_compressor(folder.path(), CompressorRegistry::built_in(), tiny_decoder(), *tokenizer); });
  EXPECT_CONTAINS(other_tokenizer, "another tokenizer");
  EXPECT_CONTAINS(other_tokenizer, "tokenizer-hash");
  Json json = read_json(folder / "compressor.json");
  json["base_fingerprint"] = "0123";
  write_json(folder / "compressor.json", json);
  const std::string other_model =
      error_of([&] { load_compressor(folder.path(), CompressorRegistry::built_in(), tiny_decoder(), *tokenizer); });
  EXPECT_CONTAINS(other_model, "another base model");
  EXPECT_CONTAINS(other_model, "0123");
  EXPECT_CONTAINS(other_model, tiny_decoder()->fingerprint());
}

TEST(Compressors, TensorsThatDoNotFitAreAllNamed) {
  CompressorConfig small = CompressorRegistry::built_in().defaults("pic", "published");
  small.segment_length = 16;
  small.lora.rank = 2;
  const auto compressor = CompressorRegistry::built_in().make(small, {tiny_decoder(), 1, true, "", 1});
  TensorMap tensors = trained_tensors(*compressor);
  tensors.erase("ae_row");
  tensors["memory_rows"] = torch::zeros({1, 32});
  tensors["surplus"] = torch::zeros({1});
  const std::string message = error_of([&] { load_trained_tensors(*compressor, tensors, "file"); });
  for (const char* part : {"ae_row is missing", "memory_rows has shape", "surplus is unknown"})
    EXPECT_CONTAINS(message, part) << message;
}

TEST(Compressors, FieldsThatContradictEachOtherAreErrors) {
  const auto message = [](const std::function<void(CompressorConfig&)>& change) {
    CompressorConfig c = CompressorRegistry::built_in().defaults("pic", "published");
    c.segment_length = 16;
    change(c);
    return error_of([&] { CompressorRegistry::built_in().make(c, {tiny_decoder(), 1, true, "", 1}); });
  };
  EXPECT_CONTAINS(message([](auto& c) { c.chunk = 6; }), "compressor.chunk");
  EXPECT_CONTAINS(message([](auto& c) { c.carrier = "kv"; }), "compressor.projector");
  EXPECT_CONTAINS(message([](auto& c) {
                    c.memory_markers = true;
                    c.positions = "epl";
                  }),
                  "memory_markers");
  EXPECT_CONTAINS(message([](auto& c) { c.method = "pci"; }), "did you mean pic?");
  EXPECT_CONTAINS(message([](auto& c) { c.method = "comprexit"; }), "the settings of comprexit");
  EXPECT_CONTAINS(message([](auto& c) {
                    c = CompressorRegistry::built_in().defaults("comprexit", "published");
                    c.ratio = 200;
                  }),
                  "compressor.ratio");
}

}  // namespace
}  // namespace precis

// What GGUF metadata says about a tokenizer, and what it means where it says nothing.
#include <gtest/gtest.h>

#include <cstring>

#include "precis/text/tokenizer.h"
#include "support.h"

namespace precis {
namespace {

using testing::error_of;
using testing::TemporaryFolder;

// Metadata of a GGUF file without tensors (ggml, docs/gguf.md).
class Metadata {
 public:
  void text(const std::string& key, const std::string& value) { add(key, 8, packed(value)); }
  void number(const std::string& key, uint32_t value) { add(key, 4, packed(value)); }
  void boolean(const std::string& key, bool value) { add(key, 7, std::string(1, value ? '\1' : '\0')); }
  void texts(const std::string& key, const std::vector<std::string>& values) {
    std::string bytes = packed(uint32_t{8}) + packed(uint64_t{values.size()});
    for (const auto& value : values) bytes += packed(value);
    add(key, 9, bytes);
  }
  template <class T>
  void numbers(const std::string& key, uint32_t type, const std::vector<T>& values) {
    std::string bytes = packed(type) + packed(uint64_t{values.size()});
    for (const T value : values) bytes += packed(value);
    add(key, 9, bytes);
  }
  std::unique_ptr<Tokenizer> load() const {
    const TemporaryFolder folder;
    testing::write_text(folder / "m.gguf",
                        "GGUF" + packed(uint32_t{3}) + packed(uint64_t{0}) + packed(count_) + bytes_);
    return load_tokenizer(folder / "m.gguf");
  }

 private:
  template <class T>
  static std::string packed(T value) {
    std::string out(sizeof(T), '\0');
    std::memcpy(out.data(), &value, sizeof(T));
    return out;
  }
  static std::string packed(const std::string& value) { return packed(uint64_t{value.size()}) + value; }
  void add(const std::string& key, uint32_t type, const std::string& value) {
    bytes_ += packed("tokenizer.ggml." + key) + packed(type) + value;
    ++count_;
  }
  std::string bytes_;
  uint64_t count_ = 0;
};

// Tokens: BOS, EOS, an end of turn, single bytes, "12", " 1" and "ab".
Metadata byte_level(const std::string& pre) {
  Metadata out;
  out.text("model", "gpt2");
  if (!pre.empty()) out.text("pre", pre);
  out.texts("tokens", {"<s>", "</s>", "<|im_end|>", "a", "b", "1", "2", "Ġ", "Ċ", "12", "Ġ1", "ab", "abab"});
  out.numbers<int32_t>("token_type", 5, {3, 3, 3, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1});
  out.texts("merges", {"1 2", "Ġ 1", "a b"});
  out.number("bos_token_id", 0);
  out.number("eos_token_id", 1);
  return out;
}

TEST(GgufTokenizer, NamedPatternsSplitDigitsAndPieces) {
  const TokenIds whole = {10, 9, 9, 9, 8}, single = {7, 5, 5, 6, 5, 6, 5, 6, 8}, threes = {7, 5, 9, 9, 5, 6, 8};
  const std::map<std::string, TokenIds> expected = {{"gpt-2", whole},
                                                    {"olmo", whole},
                                                    {"mpt", whole},
                                                    {"jina-v2-code", whole},
                                                    {"smollm", single},
                                                    {"starcoder", single},
                                                    {"refact", single},
                                                    {"command-r", single},
                                                    {"qwen2", single},
                                                    {"qwen35", single},
                                                    {"stablelm2", single},
                                                    {"tekken", single},
                                                    {"deepseek-coder", single},
                                                    {"llama-bpe", threes},
                                                    {"llama3", threes},
                                                    {"llama-v3", threes},
                                                    {"dbrx", threes},
                                                    {"smaug-bpe", threes},
                                                    {"gpt-4o", threes},
                                                    {"llama4", threes},
                                                    {"deepseek-v3", threes},
                                                    {"falcon", threes},
                                                    {"deepseek-llm", {7, 5, 9, 9, 9, 8}}};
  for (const auto& [pre, ids] : expected) EXPECT_EQ(byte_level(pre).load()->encode(" 1121212\n"), ids) << pre;
}

TEST(GgufTokenizer, NamesWithTheirOwnRules) {
  for (const char* pre : {"llama-bpe", "llama3", "llama-v3", "tekken"}) {
    const auto t = byte_level(pre).load();
    EXPECT_TRUE(t->adds_bos) << pre;
    EXPECT_EQ(t->encode("abab"), (TokenIds{12})) << pre;  // a piece that is a token is not merged
  }
  EXPECT_FALSE(byte_level("qwen2").load()->adds_bos);
  EXPECT_EQ(byte_level("qwen2").load()->encode("abab"), (TokenIds{11, 11}));
  Metadata says_no = byte_level("llama-bpe");
  says_no.boolean("add_bos_token", false);
  EXPECT_FALSE(says_no.load()->adds_bos);
}

TEST(GgufTokenizer, WhatEndsAnAnswer) {
  Metadata metadata = byte_level("gpt-2");
  metadata.number("eot_token_id", 4);
  EXPECT_EQ(metadata.load()->end_ids, (std::vector<int64_t>{1, 2, 4}));  // <|im_end|> by its name
}

TEST(GgufTokenizer, WhatIsMissingIsNamed) {
  EXPECT_CONTAINS(error_of([] { byte_level("").load(); }), "tokenizer.ggml.pre");
  EXPECT_CONTAINS(error_of([] { byte_level("default").load(); }), "deepseek-llm");
  Metadata wrong = byte_level("gpt-2");
  wrong.number("eot_token_id", 13);
  EXPECT_CONTAINS(error_of([&] { wrong.load(); }), "eot_token_id");
}

// Three pieces and all bytes, byte-pair encoding by score.
Metadata sentencepiece(bool with_scores, int bytes = 256) {
  std::vector<std::string> tokens = {"<unk>", "<s>", "</s>"};
  std::vector<int32_t> types = {2, 3, 3};
  for (int b = 0; b < bytes; ++b) {
    tokens.push_back(std::string("<0x") + "0123456789ABCDEF"[b / 16] + "0123456789ABCDEF"[b % 16] + ">");
    types.push_back(6);
  }
  for (const char* piece : {"▁", "a", "▁a", "aa"}) tokens.emplace_back(piece), types.push_back(1);
  std::vector<float> scores(tokens.size());
  for (size_t i = 0; i < scores.size(); ++i) scores[i] = -static_cast<float>(i);
  Metadata out;
  out.text("model", "llama");
  out.texts("tokens", tokens);
  out.numbers("token_type", 5, types);
  if (with_scores) out.numbers("scores", 6, scores);
  return out;
}

TEST(GgufTokenizer, SentencePieceDefaults) {
  const auto t = sentencepiece(true).load();
  EXPECT_TRUE(t->adds_bos);
  EXPECT_EQ(t->bos_id, 1);
  EXPECT_EQ(t->eos_id, 2);
  EXPECT_EQ(t->encode("aa"), (TokenIds{261, 260}));  // with a space in front, "▁a" before "aa"
  EXPECT_EQ(t->encode("\xC3\xA9"), (TokenIds{259, 3 + 0xC3, 3 + 0xA9}));
  EXPECT_EQ(t->decode({261, 260}), "aa");
  Metadata no_prefix = sentencepiece(true);
  no_prefix.boolean("add_space_prefix", false);
  EXPECT_EQ(no_prefix.load()->encode("aa"), (TokenIds{262}));
}

TEST(GgufTokenizer, IncompleteSentencePieceVocabulariesAreRefused) {
  EXPECT_CONTAINS(error_of([] { sentencepiece(false).load(); }), "scores");
  EXPECT_CONTAINS(error_of([] { sentencepiece(true, 255).load(); }), "byte tokens are missing");
}

}  // namespace
}  // namespace precis

#include <gtest/gtest.h>

#include "precis/core/error.h"
#include "precis/core/json.h"
#include "precis/core/strings.h"
#include "precis/text/tokenizer.h"
#include "precis/text/train_sentencepiece.h"
#include "support.h"

namespace precis {
namespace {

using testing::error_of;
using testing::shared_folder;
using testing::smollm2_file;
using testing::TemporaryFolder;
using testing::write_text;

std::string tokenizer_json(
    const std::string& extra,
    const std::string& pre = R"({"type": "ByteLevel", "add_prefix_space": false, "use_regex": true})") {
  return R"({"model": {"type": "BPE", "vocab": {"a": 0, "b": 1, "Ġ": 2, "ab": 3, "Ġab": 4, "Ã": 5, "©": 6}, "merges": ["a b", "Ġ ab"]},
             "pre_tokenizer": )" +
         pre + extra + "}";
}

TEST(Utf8, RepairsByMaximalParts) {
  EXPECT_EQ(to_valid_utf8("a\xE2\x82"), "a\xEF\xBF\xBD");
  EXPECT_EQ(to_valid_utf8("\x80\xBF"), "\xEF\xBF\xBD\xEF\xBF\xBD");
  EXPECT_EQ(to_valid_utf8("\xED\xA0\x80").size(), 9u);  // a surrogate: three parts
  EXPECT_EQ(first_invalid_utf8("ok\xC0"), 2u);
}

TEST(Utf8, StreamNeverEmitsHalfACharacter) {
  Utf8Stream stream;
  EXPECT_EQ(stream.push("x\xF0\x9F"), "x");
  EXPECT_EQ(stream.push("\x98\x80y"), "\xF0\x9F\x98\x80y");
  EXPECT_EQ(stream.push("\xE2"), "");
  EXPECT_EQ(stream.finish(), "\xEF\xBF\xBD");
}

TEST(Bpe, MergesInOrderOfRankAndDropsBytesWithoutToken) {
  const TemporaryFolder folder;
  write_text(folder / "tokenizer.json", tokenizer_json(""));
  const auto t = load_tokenizer(folder.path());
  EXPECT_EQ(t->encode("ab ab"), (TokenIds{3, 4}));
  EXPECT_EQ(t->encode("axb"), (TokenIds{3}));  // x has no token and is dropped before merging
  EXPECT_EQ(t->encode("\xC3\xA9"), (TokenIds{5, 6}));
  EXPECT_EQ(t->decode({5, 6}), "\xC3\xA9");
  EXPECT_EQ(t->decode({5}), "\xEF\xBF\xBD");
  StreamDecoder stream(*t);
  EXPECT_EQ(stream.push(5), "");
  EXPECT_EQ(stream.push(6), "\xC3\xA9");
  EXPECT_THROW(t->encode("\xff"), Error);
  EXPECT_THROW(t->decode({99}), Error);
}

TEST(Bpe, SpecialTokensAreParsedOnlyOnRequest) {
  const TemporaryFolder folder;
  write_text(folder / "tokenizer.json",
             tokenizer_json(R"(, "added_tokens": [{"id": 7, "content": "<a>", "special": true}])"));
  const auto t = load_tokenizer(folder.path());
  EXPECT_EQ(t->encode("a<a>b", true), (TokenIds{0, 7, 1}));
  EXPECT_EQ(t->encode("a<a>b", false), (TokenIds{0, 0, 1}));
  EXPECT_EQ(t->decode({0, 7, 1}, true), "ab");
}

TEST(Bpe, UnsupportedPartsAreNamed) {
  const TemporaryFolder folder;
  const auto message = [&](const std::string& text) {
    write_text(folder / "tokenizer.json", text);
    return error_of([&] { load_tokenizer(folder / "tokenizer.json"); });
  };
  EXPECT_CONTAINS(message(tokenizer_json(R"(, "normalizer": {"type": "Precompiled"})")), "Precompiled");
  EXPECT_CONTAINS(message(tokenizer_json(R"(, "decoder": {"type": "CTC"})")), "CTC");
  EXPECT_CONTAINS(message(tokenizer_json("", R"({"type": "UnicodeScripts"})")), "UnicodeScripts");
  EXPECT_CONTAINS(message(R"({"model": {"type": "WordPiece", "vocab": {}}})"), "WordPiece");
  EXPECT_CONTAINS(message(R"({"model": {"vocab": {"a": 0, "b": 0}}, "pre_tokenizer": {"type": "ByteLevel"}})"),
                  "same id");
  EXPECT_CONTAINS(
      message(R"({"model": {"vocab": {"a": 0}, "merges": ["a z"]}, "pre_tokenizer": {"type": "ByteLevel"}})"), "lacks");
  EXPECT_CONTAINS(message("[]"), "not a tokenizer.json");
  EXPECT_CONTAINS(
      message(tokenizer_json("", R"({"type": "Split", "pattern": {"Regex": "(("}, "behavior": "Isolated"})")),
      "a group without its end");
  for (const char* pattern : {R"(a\\Kb)", R"(\\Rx)", "[[:alpha:]]", "[a&&b]", "(?<n>a)", "(?m)a", R"((a)\\1)"}) {
    EXPECT_CONTAINS(
        message(tokenizer_json(
            "", cat(R"({"type": "Split", "behavior": "Isolated", "pattern": {"Regex": ")", pattern, R"("}})"))),
        "not supported");
  }
}

TEST(Bpe, OfAMergeListedTwiceTheLastPlaceCounts) {
  const TemporaryFolder folder;
  write_text(folder / "tokenizer.json",
             R"({"model": {"type": "BPE", "vocab": {"a": 0, "b": 1, "c": 2, "ab": 3, "bc": 4},
                           "merges": ["a b", "b c", "a b"]}})");
  EXPECT_EQ(load_tokenizer(folder.path())->encode("abc"), (TokenIds{0, 4}));
}

TEST(Bpe, AnAddedTokenMayBeAWordOfTheVocabularyAndOfMerges) {
  const TemporaryFolder folder;
  write_text(folder / "tokenizer.json",
             R"({"model": {"type": "BPE", "vocab": {"a": 0, "b": 1, "c": 2, "ab": 3, "abc": 4},
                                                     "merges": ["a b", "ab c"]},
                                           "added_tokens": [{"id": 3, "content": "ab", "special": true}]})");
  const auto t = load_tokenizer(folder.path());
  EXPECT_EQ(t->encode("abc", false), (TokenIds{4}));
  EXPECT_EQ(t->encode("abc", true), (TokenIds{3, 2}));
}

TEST(Bpe, AnAddedTokenNeverTakesTheIdOfAWord) {
  const TemporaryFolder folder;
  write_text(folder / "tokenizer.json", R"({"model": {"type": "BPE", "vocab": {"a": 1, "b": 2}, "merges": []},
                                           "added_tokens": [{"id": 0, "content": "<s>", "special": true}]})");
  EXPECT_EQ(load_tokenizer(folder.path())->encode("<s>ab", true), (TokenIds{0, 1, 2}));
}

// A search that starts anew for each token, or merges that look at all symbols, would take days here.
TEST(Tokenizers, TakeTimeLinearInTheTextNotInItsTokens) {
  const TemporaryFolder folder;
  std::string added;
  for (int spaces = 2; spaces < 90; ++spaces)
    added += cat(spaces > 2 ? "," : "", R"({"special": false, "id": )", 5 + spaces, R"(, "content": ")",
                 std::string(static_cast<size_t>(spaces), ' '), "\"}");
  write_text(folder / "tokenizer.json", tokenizer_json(", \"added_tokens\": [" + added + "]"));
  const auto t = load_tokenizer(folder.path());
  std::string code;
  while (code.size() < (1U << 22U)) code += "ab ab\n" + std::string(code.size() % 80, ' ');
  EXPECT_GT(t->encode(code).size(), 100000u);
  EXPECT_EQ(t->encode(std::string(1U << 20U, 'a')).size(), 1U << 20U);  // one piece
  std::string pairs;
  while (pairs.size() < (1U << 20U)) pairs += "ab";
  EXPECT_EQ(t->encode(pairs), TokenIds(1U << 19U, 3));
}

TEST(SentencePiece, TokensBesideTheModelAreRead) {
  const TemporaryFolder folder;
  const auto names = [&](const char* json) { write_text(folder / "tokenizer_config.json", json); };
  write_text(folder / "tokenizer.model", train_sentencepiece({"hello world", "hello there"}, 275));
  const int64_t pieces = load_tokenizer(folder.path())->vocabulary_size();
  write_text(folder / "added_tokens.json", cat(R"({"<|im_end|>": )", pieces + 1, R"(, "<|im_start|>": )", pieces, "}"));
  names(R"({"eos_token": "<|im_end|>"})");
  const auto t = load_tokenizer(folder.path());
  EXPECT_EQ(t->vocabulary_size(), pieces + 2);
  EXPECT_EQ(t->eos_id, pieces + 1);
  EXPECT_EQ(t->encode("<|im_start|><|im_end|>", true), (TokenIds{pieces, pieces + 1}));
  EXPECT_EQ(t->decode({pieces + 1}), "<|im_end|>");
  EXPECT_TRUE(t->decode({pieces + 1}, true).empty());
  names(cat(R"({"added_tokens_decoder": {")", pieces, R"(": {"content": "<a>", "special": false}}})").c_str());
  EXPECT_EQ(load_tokenizer(folder.path())->encode("<a>"), (TokenIds{pieces}));
}

TEST(SentencePiece, GarbageIsRefused) {
  const TemporaryFolder folder;
  write_text(folder / "x.model", "\n\xff\xff\xff garbage");
  EXPECT_CONTAINS(error_of([&] { load_tokenizer(folder / "x.model"); }), "SentencePiece");
}

// Ids from the original tokenizers, one test vector at a time.
struct Vectors {
  const char* key;
  const char* path;
};

class OriginalIds : public ::testing::TestWithParam<Vectors> {};

TEST_P(OriginalIds, EqualOnEveryVector) {
  const auto folder = shared_folder() / "data" / "tokenizers";
  PRECIS_SKIP_WITHOUT(folder);
  const auto tokenizer = load_tokenizer(folder / GetParam().path);
  int compared = 0;
  for (const Json& vector : read_json(folder / "tokenizer_vectors.json")) {
    const std::string text = vector.at("text");
    const auto wanted = vector.at(GetParam().key).get<TokenIds>();
    EXPECT_EQ(tokenizer->encode(text), wanted) << text;
    std::string streamed;
    StreamDecoder stream(*tokenizer);
    for (const int64_t id : wanted) streamed += stream.push(id);
    EXPECT_EQ(streamed + stream.finish(), tokenizer->decode(wanted));
    ++compared;
  }
  EXPECT_EQ(compared, 43);
}

INSTANTIATE_TEST_SUITE_P(All, OriginalIds,
                         ::testing::Values(Vectors{"llama2_spm", "llama2.tokenizer.model"},
                                           Vectors{"llama3_bpe", "llama3.tiktoken.model"}, Vectors{"qwen2", "qwen2"},
                                           Vectors{"gpt2", "gpt2.tokenizer.json"}));

TEST(Tokenizers, EveryVisibleFileLoadsAndRoundTrips) {
  const auto folder = shared_folder() / "data" / "tokenizers";
  PRECIS_SKIP_WITHOUT(folder);
  for (const char* name : {"torchtune_tokenizer.json", "torchtune_tiny_bpe_tokenizer.json",
                           "torchtune_sentencepiece.model", "torchtune_m.model", "sp_test_model.model"}) {
    const auto tokenizer = load_tokenizer(folder / name);
    const std::string text = "The quick brown fox";
    EXPECT_EQ(tokenizer->decode(tokenizer->encode(text)), text) << name;
  }
}

TEST(Gguf, SmolLm2SplitsDigitsAndKeepsItsSpecialIds) {
  PRECIS_SKIP_WITHOUT(smollm2_file());
  const auto t = load_tokenizer(smollm2_file());
  EXPECT_EQ(t->eos_id, 2);
  EXPECT_FALSE(t->adds_bos);
  EXPECT_EQ(t->encode("1973").size(), 4u);
  EXPECT_EQ(t->encode("=\x04="), t->encode("=="));
}

}  // namespace
}  // namespace precis

// Small tokenizers of every kind against the original libraries: scripts/make_tokenizer_cases.py wrote the ids.
#include <gtest/gtest.h>

#include "precis/core/json.h"
#include "precis/core/strings.h"
#include "precis/text/tokenizer.h"
#include "support.h"

namespace precis {
namespace {

using testing::TemporaryFolder;
namespace fs = std::filesystem;

const fs::path& data_folder() {
  static const fs::path folder = fs::path(PRECIS_SOURCE_DIR) / "tests/data/tokenizers";
  return folder;
}

uint32_t fnv(uint32_t value, std::string_view bytes) {
  for (const char c : bytes) value = (value ^ static_cast<unsigned char>(c)) * 16777619U;
  return value;
}

std::string hexadecimal(uint32_t value, int digits) {
  std::string out;
  for (int shift = 4 * (digits - 1); shift >= 0; shift -= 4) out += "0123456789abcdef"[value >> shift & 15U];
  return out;
}

std::string ids_digest(const TokenIds& ids) {
  uint32_t value = 2166136261U;
  for (const int64_t id : ids) {
    for (int shift = 0; shift < 32; shift += 8)
      value = fnv(value, std::string(1, static_cast<char>(static_cast<uint64_t>(id) >> shift & 255U)));
  }
  return hexadecimal(value >> 16U, 4);
}

// Sequences that no text has: the script's linear congruential generator.
std::vector<TokenIds> random_ids(int64_t vocabulary) {
  std::vector<TokenIds> out;
  for (uint64_t state = 1; out.size() < 300;) {
    TokenIds row(1 + out.size() % 12);
    for (int64_t& id : row) {
      state = (state * 1103515245U + 12345U) % (uint64_t{1} << 31U);
      id = static_cast<int64_t>(state >> 8U) % vocabulary;
    }
    out.push_back(row);
  }
  return out;
}

std::unique_ptr<Tokenizer> tokenizer_of(const Json& c) {
  const fs::path base = data_folder() / c.at("base").get<std::string>();
  if (base.extension() != ".json") return load_tokenizer(base);
  const TemporaryFolder folder;
  LargeJson file = read_large_json(base);
  file.merge_patch(LargeJson::parse(c.at("changes").dump()));
  testing::write_text(folder / "tokenizer.json", file.dump());
  return load_tokenizer(folder / "tokenizer.json");
}

// The number of lines whose ids differ; shows the first.
int differences(const Tokenizer& tokenizer, const Json& lines, size_t step, bool special, const std::string& digests) {
  int different = 0;
  for (size_t i = 0; step * i < lines.size(); ++i) {
    const std::string text = lines[step * i];
    const TokenIds ids = tokenizer.encode(text, special);
    if (ids_digest(ids) == digests.substr(4 * i, 4)) continue;
    if (different++ == 0) ADD_FAILURE() << "line " << step * i << ": " << Json(text) << " became " << Json(ids);
  }
  return different;
}

const std::vector<Json>& cases() {
  static const auto all = read_json(data_folder() / "cases.json").get<std::vector<Json>>();
  return all;
}

class TokenizerCases : public ::testing::TestWithParam<size_t> {};

TEST_P(TokenizerCases, IdsAndTextsAreTheOriginals) {
  const Json& c = cases()[GetParam()];
  const Json lines = read_json(data_folder() / "lines.json");
  const auto tokenizer = tokenizer_of(c);
  const bool special = c.at("special");
  for (size_t i = 0; i < c.at("ids").size(); ++i)
    EXPECT_EQ(tokenizer->encode(lines[i].get<std::string>(), special), c.at("ids")[i].get<TokenIds>()) << lines[i];
  EXPECT_EQ(differences(*tokenizer, lines, 1, special, c.at("digests")), 0);
  if (special) {
    EXPECT_EQ(differences(*tokenizer, lines, 4, false, c.at("plain_digests")), 0);
  }

  uint32_t digest = 2166136261U;
  const auto add = [&](const std::string& text) { digest = fnv(fnv(digest, text), "\n"); };
  for (size_t i = 0; i < lines.size(); ++i) {
    const std::string text = tokenizer->decode(tokenizer->encode(lines[i].get<std::string>(), special), !special);
    if (i < c.at("texts").size()) {
      EXPECT_EQ(text, c.at("texts")[i].get<std::string>()) << lines[i];
    }
    add(text);
  }
  for (const TokenIds& ids : special ? random_ids(c.at("vocabulary")) : std::vector<TokenIds>()) {
    for (const bool skip : {false, true}) add(tokenizer->decode(ids, skip));
  }
  EXPECT_EQ(hexadecimal(digest, 8), c.at("text_digest").get<std::string>());
}

std::string name_of(const ::testing::TestParamInfo<size_t>& info) { return cases()[info.param].at("name"); }

INSTANTIATE_TEST_SUITE_P(Originals, TokenizerCases, ::testing::Range<size_t>(0, cases().size()), name_of);

}  // namespace
}  // namespace precis

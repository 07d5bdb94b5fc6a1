// Memories as building blocks: appending, concatenating, splitting, batching and storing do not change the decoder's
// input.
#include <gtest/gtest.h>
#include <torch/types.h>

#include "precis/compress/made_by.h"
#include "precis/compress/parts.h"
#include "precis/memory/memory_blocks.h"
#include "precis/memory/memory_file.h"
#include "precis/methods/sac.h"
#include "precis/model/generate.h"
#include "support.h"

namespace precis {
namespace {

using testing::make_compressor;
using testing::one_of;
using testing::questions;
using testing::random_contexts;

// Every tensor of the content, with its name.
std::vector<std::pair<std::string, Tensor>> content_of(const Memory& memory) {
  if (const auto* embedding = std::get_if<EmbeddingMemory>(&memory.content)) return {{"rows", embedding->rows}};
  std::vector<std::pair<std::string, Tensor>> out;
  for (const auto& [k, v] : std::get<KvMemory>(memory.content).layers) {
    out.emplace_back("keys", k.transpose(1, 2));
    out.emplace_back("values", v.transpose(1, 2));
  }
  return out;
}

// Compares context by context, without padding; `tolerance` 0: bit for bit.
void expect_equal(const Memory& a, const Memory& b, double tolerance) {
  ASSERT_TRUE(a.lengths.equal(b.lengths)) << a.lengths << b.lengths;
  EXPECT_TRUE(a.next_position.equal(b.next_position)) << a.next_position << b.next_position;
  EXPECT_TRUE(a.source_tokens.equal(b.source_tokens));
  const auto contents_a = content_of(a), contents_b = content_of(b);
  ASSERT_EQ(contents_a.size(), contents_b.size());
  for (int64_t c = 0; c < a.contexts(); ++c) {
    const int64_t n = a.lengths[c].item<int64_t>();
    const auto own = [&](const Tensor& x) { return x[c].narrow(0, 0, n); };
    EXPECT_TRUE(own(a.position_ids).equal(own(b.position_ids))) << own(a.position_ids) << own(b.position_ids);
    EXPECT_TRUE(own(a.segments).equal(own(b.segments)));
    for (size_t i = 0; i < contents_a.size(); ++i) {
      const double error = (own(contents_a[i].second) - own(contents_b[i].second)).abs().max().item<double>();
      EXPECT_LE(error, tolerance) << contents_a[i].first << " of context " << c;
    }
  }
}

TokenBatch part(const TokenBatch& batch, const std::vector<int64_t>& begin, const std::vector<int64_t>& end) {
  std::vector<std::vector<int64_t>> contexts;
  for (size_t b = 0; b < begin.size(); ++b) {
    const int64_t* ids = batch.ids.data_ptr<int64_t>() + static_cast<int64_t>(b) * batch.ids.size(1);
    contexts.emplace_back(ids + begin[b], ids + end[b]);
  }
  return token_batch(contexts);
}

class EveryMemory : public ::testing::TestWithParam<testing::CompressorCase> {
 protected:
  void SetUp() override { compressor_->eval(); }
  Memory compress(const TokenBatch& context) { return compressor_->compress(context); }
  const Decoder& decoder() { return compressor_->decoder(); }

  const at::NoGradGuard no_gradient_;
  const std::shared_ptr<Compressor> compressor_ = make_compressor(GetParam());
};

TEST_P(EveryMemory, AppendingAtASegmentBorderEqualsTheWholeText) {
  const TokenBatch whole = random_contexts({37, 48, 40});
  const std::vector<int64_t> none = {0, 0, 0}, cut = {32, 16, 32}, all = {37, 48, 40};
  const Memory first = compress(part(whole, none, cut));
  expect_equal(append(*compressor_, first, part(whole, cut, all)), compress(whole), 1e-5);
}

TEST_P(EveryMemory, CompressedInPartsEqualsAtOnce) {
  const TokenBatch contexts = random_contexts({37, 70, 16, 5});
  const Memory at_once = compress(contexts);
  for (const int64_t segments : {1, 2, 9})
    expect_equal(compress_in_parts(*compressor_, contexts, segments), at_once, 1e-5);
}

TEST_P(EveryMemory, AppendingElsewhereBeginsANewSegment) {
  const TokenBatch whole = random_contexts({37});
  const Memory first = compress(part(whole, {0}, {21}));
  const Memory both = append(*compressor_, first, part(whole, {21}, {37}));
  EXPECT_EQ(both.lengths[0].item<int64_t>(), compressor_->entries_of(21) + compressor_->entries_of(16));
  EXPECT_EQ(both.source_tokens[0].item<int64_t>(), 37);
  EXPECT_FALSE(both.documents);
  const auto before = content_of(first), after = content_of(both);
  for (size_t i = 0; i < before.size(); ++i)
    EXPECT_TRUE(after[i].second.narrow(1, 0, before[i].second.size(1)).equal(before[i].second));
}

TEST_P(EveryMemory, HasAsManyEntriesAsItsPlanSays) {
  for (const int64_t tokens : {1, 5, 16, 17, 47}) {
    EXPECT_EQ(compress(random_contexts({tokens})).lengths[0].item<int64_t>(), compressor_->entries_of(tokens))
        << tokens << " tokens";
  }
}

// Documents of whole segments equal the concatenated text, since segments do not see each other.
TEST_P(EveryMemory, ConcatenatedDocumentsEqualTheConcatenatedText) {
  if (compressor_->reads_earlier_memory()) GTEST_SKIP() << "skipped: its segments see each other";
  const TokenBatch whole = random_contexts({48, 41});
  const Memory together =
      concatenate({compress(part(whole, {0, 0}, {16, 32})), compress(part(whole, {16, 32}, {48, 41}))}, decoder());
  expect_equal(together, compress(whole), 2e-5);
  ASSERT_TRUE(together.documents);
  EXPECT_EQ(together.documents->tokens.size(1), 2);
}

TEST_P(EveryMemory, ARemovedDocumentLeavesTheRestAsIfItHadNeverBeenThere) {
  const Memory a = compress(random_contexts({21}, 1)), b = compress(random_contexts({9}, 2)),
               c = compress(random_contexts({30}, 3));
  const auto parts = split_documents(concatenate({a, b, c}, decoder()), decoder());
  ASSERT_EQ(parts.size(), 3u);
  expect_equal(parts[1], b, 1e-5);
  expect_equal(concatenate({parts[0], parts[2]}, decoder()), concatenate({a, c}, decoder()), 1e-5);
  // The order matters, and concatenation is associative.
  expect_equal(concatenate({concatenate({a, b}, decoder()), c}, decoder()), concatenate({a, b, c}, decoder()), 1e-5);
  EXPECT_EQ(split_documents(concatenate({c, a}, decoder()), decoder())[1].source_tokens[0].item<int64_t>(), 21);
}

TEST_P(EveryMemory, OnePromptReadsManyMemoriesInOneBatch) {
  const std::vector<Memory> memories = {compress(random_contexts({33}, 1)), compress(random_contexts({4}, 2)),
                                        compress(random_contexts({20, 7}, 3))};
  const Memory all = stack(memories);
  ASSERT_EQ(all.contexts(), 4);
  const TaskTokens one = questions(Task::qa, {5}, {0}, false);
  const TaskTokens task{Task::qa, one.ids.expand({4, -1}), one.lengths.expand({4}), {}, torch::arange(4)};
  const DecoderInput together = compressor_->prompt(all, task);
  const Tensor rows = decoder().hidden(together);
  for (int64_t b = 0; b < 4; ++b) {
    const Memory own = select_context(all, b);
    if (b < 2) expect_equal(own, memories[static_cast<size_t>(b)], 0);
    const DecoderInput alone = compressor_->prompt(own, one);
    const int64_t n = alone.lengths[0].item<int64_t>();
    EXPECT_LT((decoder().hidden(alone)[0].narrow(0, 0, n) - rows[b].narrow(0, 0, n)).abs().max().item<double>(), 1e-5);
  }
}

TEST_P(EveryMemory, AFileGivesBackEveryBitAndTheSameText) {
  const testing::TemporaryFolder folder;
  const Memory a = compress(random_contexts({21}, 1)), b = compress(random_contexts({30}, 2));
  const std::string hash = compressor_hash(*compressor_);
  for (const Memory& memory : {a, concatenate({a, b}, decoder())}) {
    save_memory(folder / "m.safetensors", {memory, "source", hash});
    const MemoryFile read = load_memory(folder / "m.safetensors");
    require_made_by(read, *compressor_, hash, "m.safetensors");
    expect_equal(read.memory, memory, 0);
    EXPECT_EQ(read.memory.origin, memory.origin);
    EXPECT_EQ(read.memory.placement, memory.placement);
    EXPECT_EQ(read.memory.documents.has_value(), memory.documents.has_value());
    const TaskTokens task = questions(Task::qa, {5}, {0}, false);
    const auto text = [&](const Memory& m) {
      return generate(decoder(), compressor_->prompt(m, task), {.max_new_tokens = 8});
    };
    EXPECT_EQ(text(read.memory), text(memory));
  }
}

TEST_P(EveryMemory, StoredInBf16ItsErrorIsStatedAndSmall) {
  const Memory memory = compress(random_contexts({21}));
  const Memory stored = with_dtype(memory, torch::kBFloat16);
  EXPECT_EQ(stored.bytes(0) * 2, memory.bytes(0));
  const double error = relative_error(memory, stored);
  EXPECT_GT(error, 0);
  EXPECT_LT(error, 1.0 / 256);  // half a unit in bf16's last place, relative
  EXPECT_EQ(relative_error(memory, memory), 0);
}

INSTANTIATE_TEST_SUITE_P(All, EveryMemory, ::testing::ValuesIn(testing::compressor_cases()),
                         [](const auto& point) { return point.param.name; });

TEST(Anchors, RandomOnesAreAPureFunctionOfTheText) {
  const TokenBatch texts = random_contexts({40, 40});
  const int64_t *a = texts.ids.data_ptr<int64_t>(), *b = a + texts.ids.size(1);
  const auto rows = random_anchor_rows(a, 40, 4);
  EXPECT_EQ(rows, random_anchor_rows(a, 40, 4));
  EXPECT_NE(rows, random_anchor_rows(b, 40, 4));
  EXPECT_EQ(rows.size(), anchor_rows_of_chunk(40, 4).size());
  EXPECT_TRUE(std::is_sorted(rows.begin(), rows.end()));
  EXPECT_TRUE(std::adjacent_find(rows.begin(), rows.end()) == rows.end());
  EXPECT_TRUE(rows.front() >= 0 && rows.back() < 40);
  EXPECT_EQ(random_anchor_rows(a, 1, 15), std::vector<int64_t>{0});
}

}  // namespace
}  // namespace precis

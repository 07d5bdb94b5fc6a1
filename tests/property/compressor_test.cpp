// What holds for every compressor: padding and batching never change a result, the decoder is never touched, one batch
// can be learned by heart, a saved compressor comes back as it was.
#include <gtest/gtest.h>
#include <torch/torch.h>

#include <cmath>
#include <numbers>

#include "precis/compress/checkpoint.h"
#include "precis/config/schema.h"
#include "precis/core/hash.h"
#include "precis/core/strings.h"
#include "precis/model/generate.h"
#include "precis/train/adamw.h"
#include "support.h"

namespace precis {
namespace {

using testing::one_of;
using testing::random_contexts;
using testing::tiny_decoder;

using Case = testing::CompressorCase;
using testing::make_compressor;
using testing::questions;

class EveryCompressor : public ::testing::TestWithParam<Case> {};

TEST_P(EveryCompressor, ABatchOfUnequalContextsEqualsEachAlone) {
  const auto compressor = make_compressor(GetParam());
  compressor->eval();
  const TokenBatch contexts = random_contexts({37, 5, 16, 1});
  const TaskTokens task = questions(Task::qa, {6, 3, 9, 4}, {0, 1, 2, 3}, false);
  const torch::NoGradGuard no_gradient;
  const Decoder& decoder = compressor->decoder();
  const DecoderInput together = compressor->prompt(compressor->compress(contexts), task);
  const Tensor rows = decoder.hidden(together);
  for (int64_t b = 0; b < 4; ++b) {
    const TaskTokens own{
        Task::qa, task.ids.narrow(0, b, 1), task.lengths.narrow(0, b, 1), {}, torch::zeros({1}, torch::kLong)};
    const DecoderInput alone = compressor->prompt(compressor->compress(one_of(contexts, b)), own);
    const int64_t n = alone.lengths[0].item<int64_t>();
    ASSERT_EQ(n, together.lengths[b].item<int64_t>());
    EXPECT_TRUE(alone.position_ids[0].narrow(0, 0, n).equal(together.position_ids[b].narrow(0, 0, n)));
    EXPECT_LT((decoder.hidden(alone)[0].narrow(0, 0, n) - rows[b].narrow(0, 0, n)).abs().max().item<double>(), 1e-5)
        << "context " << b;
  }
}

TEST_P(EveryCompressor, GenerationInABatchEqualsEachAlone) {
  const auto compressor = make_compressor(GetParam());
  compressor->eval();
  const TokenBatch contexts = random_contexts({30, 7});
  const TaskTokens task = questions(Task::qa, {6, 3}, {0, 1}, false);
  const torch::NoGradGuard no_gradient;
  const auto together =
      generate(compressor->decoder(), compressor->prompt(compressor->compress(contexts), task), {.max_new_tokens = 8});
  for (int64_t b = 0; b < 2; ++b) {
    const TaskTokens own{
        Task::qa, task.ids.narrow(0, b, 1), task.lengths.narrow(0, b, 1), {}, torch::zeros({1}, torch::kLong)};
    const auto alone =
        generate(compressor->decoder(), compressor->prompt(compressor->compress(one_of(contexts, b)), own),
                 {.max_new_tokens = 8});
    EXPECT_EQ(alone[0], together[static_cast<size_t>(b)]);
  }
}

TEST_P(EveryCompressor, LearnsOneBatchByHeartAndLeavesTheDecoderUntouched) {
  const auto compressor = make_compressor(GetParam());
  const auto fingerprint = [&] {
    Hasher hasher;
    const Decoder& d = compressor->decoder();
    hasher.update(d.embedding_table().data_ptr(), d.embedding_table().nbytes());
    const torch::NoGradGuard no_gradient;  // its output depends on every weight
    const Tensor out =
        d.hidden({d.embed(torch::arange(8).unsqueeze(0)), torch::tensor({8}), torch::arange(8).unsqueeze(0)});
    hasher.update(out.data_ptr(), out.nbytes());
    return hasher.hex();
  };
  const std::string before = fingerprint();
  const TokenBatch contexts = random_contexts({20, 13});
  // Targets that are in reach of every method: ICAE's memory has no projector, so its rows lie on the final norm's
  // sphere, and for the targets of seed 9 that alone holds the loss at 0.073 around this random decoder.
  const TaskTokens task = questions(Task::lm, {4, 4}, {0, 1}, true, 11);
  TrainConfig train;
  AdamW optimizer(trained_tensors(*compressor), train);
  compressor->train();
  double first = 0, loss = 0;
  for (int step = 0; step < 4000; ++step) {
    optimizer.zero_gradients();
    const LossSum sum = decoder_loss(compressor->decoder(), compressor->prompt(compressor->compress(contexts), task));
    const Tensor mean = sum.sum / sum.count;
    mean.backward();
    optimizer.clip_gradients(1);
    optimizer.step(1e-2 * 0.5 * (1 + std::cos(std::numbers::pi * step / 4000)));
    loss = mean.item<double>();
    if (step == 0) first = loss;
    if (loss < 0.05) break;
  }
  EXPECT_LT(loss, 0.05) << "started at " << first;
  EXPECT_EQ(fingerprint(), before);
}

TEST_P(EveryCompressor, GradientsEqualFiniteDifferences) {
  const auto compressor = make_compressor(GetParam());
  compressor->eval();
  const TokenBatch contexts = random_contexts({18});
  const TaskTokens task = questions(Task::lm, {5}, {0}, true);
  const auto loss = [&] {
    const LossSum sum = decoder_loss(compressor->decoder(), compressor->prompt(compressor->compress(contexts), task));
    return sum.sum / sum.count;
  };
  loss().backward();
  for (auto& parameter : compressor->named_parameters()) {
    const Tensor gradient = parameter.value().grad();
    if (!gradient.defined() || gradient.abs().max().item<double>() < 1e-2) continue;
    const Tensor direction = gradient / gradient.norm();  // along the gradient the derivative is its norm
    const torch::NoGradGuard no_gradient;
    Tensor value = parameter.value();
    const double h = 2e-3;
    value.add_(direction, h);
    const double above = loss().item<double>();
    value.sub_(direction, 2 * h);
    const double below = loss().item<double>();
    value.add_(direction, h);
    const double expected = gradient.norm().item<double>();
    EXPECT_NEAR((above - below) / (2 * h), expected, 0.02 * expected + 2e-3) << parameter.key();
  }
}

TEST_P(EveryCompressor, SavedAndLoadedGivesTheSameMemory) {
  const auto compressor = make_compressor(GetParam());
  compressor->eval();
  const testing::TemporaryFolder folder;
  save_compressor(folder.path(), *compressor);
  auto other = CompressorRegistry::built_in().make(compressor->config(), {tiny_decoder(), 1, true, "hash", 99});
  other->eval();
  load_trained_tensors(*other, SafetensorsFile(folder / "compressor.safetensors").tensors(), "saved");
  const TokenBatch contexts = random_contexts({23, 9});
  const TaskTokens task = questions(Task::qa, {4, 4}, {0, 1}, false);
  const torch::NoGradGuard no_gradient;
  const Tensor a = compressor->decoder().hidden(compressor->prompt(compressor->compress(contexts), task));
  EXPECT_TRUE(a.equal(other->decoder().hidden(other->prompt(other->compress(contexts), task))));
}

TEST_P(EveryCompressor, TheBlockPlanEqualsTheDenseMask) {
  Case dense = GetParam();
  dense.overrides.push_back("compressor.attention_path=dense");
  const auto fast = make_compressor(GetParam()), slow = make_compressor(dense);
  fast->eval();
  slow->eval();
  const TokenBatch contexts = random_contexts({37, 12, 3});
  const TaskTokens task = questions(Task::qa, {4, 4, 4}, {0, 1, 2}, false);
  const torch::NoGradGuard no_gradient;
  const DecoderInput a = fast->prompt(fast->compress(contexts), task), b = slow->prompt(slow->compress(contexts), task);
  const Tensor real = length_mask(a.lengths, a.rows.size(1)).unsqueeze(2);
  EXPECT_LT(((fast->decoder().hidden(a) - slow->decoder().hidden(b)) * real).abs().max().item<double>(), 1e-5);
}

INSTANTIATE_TEST_SUITE_P(All, EveryCompressor, ::testing::ValuesIn(testing::compressor_cases()),
                         [](const auto& point) { return point.param.name; });

TEST(Layouts, InterleavedAndAppendedMemoryIsEqualWithEqualPositions) {
  const Case append{"pic", {"compressor.method=pic", "compressor.positions=chunk_end", "compressor.chunk=8"}};
  Case interleave = append;
  interleave.overrides.push_back("compressor.layout=interleave");
  const auto a = make_compressor(append), b = make_compressor(interleave);
  a->eval();
  b->eval();
  const torch::NoGradGuard no_gradient;
  const TokenBatch contexts = random_contexts({30});
  EXPECT_TRUE(std::get<EmbeddingMemory>(a->compress(contexts).content)
                  .rows.equal(std::get<EmbeddingMemory>(b->compress(contexts).content).rows));
}

TEST(Contexts, EmptyAndTooLongAreErrors) {
  const auto compressor = make_compressor({"pic", {"compressor.method=pic"}});
  EXPECT_NE(testing::error_of([&] {
              compressor->compress(random_contexts({3, 0}));
            }).find("empty context"),
            std::string::npos);
  // Rows that count from 0 may stand for any length; keys and values keep the positions of the text.
  EXPECT_EQ(compressor->compress(random_contexts({300})).lengths[0].item<int64_t>(), 75);
  const auto kv = make_compressor({"sac", {"compressor.method=sac"}});
  EXPECT_NE(testing::error_of([&] { kv->compress(random_contexts({300})); }).find("positions"), std::string::npos);
}

TEST(Decoding, WithTheCompressorOffTheOutputIsThePlainDecoders) {
  const auto decoder = tiny_decoder();
  const Tensor ids = random_contexts({12}).ids, positions = torch::arange(12).unsqueeze(0);
  const auto compressor = make_compressor({"pic", {"compressor.method=pic"}});  // B is random: the encoder differs
  const torch::NoGradGuard no_gradient;
  const DecoderInput input{decoder->embed(ids), torch::tensor({12}), positions};
  const Tensor plain = decoder->hidden(input);
  compressor->compress(random_contexts({12}));
  EXPECT_TRUE(decoder->hidden(input).equal(plain));
  EXPECT_TRUE(decoder->encode({decoder->embed(ids), positions, AttentionPlan::causal()}).allclose(plain, 0, 1e-6));
}

TEST(Decoding, CachedStepsEqualOnePass) {
  const auto decoder = tiny_decoder();
  const torch::NoGradGuard no_gradient;
  const TokenBatch batch = random_contexts({11, 6});
  const Tensor positions = torch::arange(11).unsqueeze(0).expand({2, -1});
  const Tensor whole = decoder->hidden({decoder->embed(batch.ids), batch.lengths, positions});
  const DecoderConfig& c = decoder->config();
  for (const bool shows_whole : {false, true}) {  // true: as a GPU's graph reads it, what is not filled yet as well
    KvCache cache(c.layers, 2, c.kv_heads, 12, c.head_dim, torch::kFloat);
    decoder->hidden({decoder->embed(batch.ids.narrow(1, 0, 4)), torch::tensor({4, 4}), positions.narrow(1, 0, 4)},
                    &cache);
    decoder->hidden({decoder->embed(batch.ids.narrow(1, 4, 3)), torch::tensor({3, 2}), positions.narrow(1, 4, 3)},
                    &cache);  // context 1 ends here
    if (shows_whole) cache.show_whole();
    for (const int64_t t : {7, 8, 9}) {
      const Tensor one = decoder->hidden(
          {decoder->embed(batch.ids.narrow(1, t, 1)), torch::tensor({1, 1}), positions.narrow(1, t, 1)}, &cache);
      EXPECT_LT((one[0][0] - whole[0][t]).abs().max().item<double>(), 1e-5) << "token " << t;
    }
  }
}

TEST(Decoding, SamplingIsSeededAndNarrowsToGreedy) {
  const auto decoder = tiny_decoder();
  const TokenBatch batch = random_contexts({9, 4});
  const Tensor positions = torch::arange(9).unsqueeze(0).expand({2, -1});
  const DecoderInput input{decoder->embed(batch.ids), batch.lengths, positions};
  const auto ids = [&](const GenerateOptions& options) { return generate(*decoder, input, options); };
  const auto greedy = ids({.max_new_tokens = 12});
  EXPECT_EQ(ids({.max_new_tokens = 12, .temperature = 1, .top_k = 1}), greedy);
  EXPECT_EQ(ids({.max_new_tokens = 12, .temperature = 1, .top_p = 1e-9}), greedy);
  const auto sampled = ids({.max_new_tokens = 12, .temperature = 5, .seed = 1});
  EXPECT_EQ(ids({.max_new_tokens = 12, .temperature = 5, .seed = 1}), sampled);
  EXPECT_NE(ids({.max_new_tokens = 12, .temperature = 5, .seed = 2}), sampled);
}

TEST(Decoding, StopsAtEndTokensAndWhenTheCallerSaysSo) {
  const auto decoder = tiny_decoder();
  const TokenBatch batch = random_contexts({9});
  const DecoderInput input{decoder->embed(batch.ids), batch.lengths, torch::arange(9).unsqueeze(0)};
  const auto free = generate(*decoder, input, {.max_new_tokens = 6})[0];
  const auto until_third = generate(*decoder, input, {.max_new_tokens = 6, .end_ids = {free[2]}})[0];
  EXPECT_LE(until_third.size(), 2u);  // the end token itself is not part of the text
  const auto one = generate(*decoder, input, {.max_new_tokens = 6}, [](int64_t, int64_t) { return false; })[0];
  EXPECT_EQ(one, std::vector<int64_t>(free.begin(), free.begin() + 1));
}

}  // namespace
}  // namespace precis

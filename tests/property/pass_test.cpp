// The decoder's pass: a past before the rows, adapters for some rows only, and the requested outputs.
#include <ATen/CPUGeneratorImpl.h>
#include <gtest/gtest.h>
#include <torch/autograd.h>
#include <torch/types.h>

#include <algorithm>
#include <cmath>

#include "precis/model/generate.h"
#include "precis/nn/recompute.h"
#include "support.h"

namespace precis {
namespace {

using testing::error_of;
using testing::random_contexts;
using testing::tiny_decoder;

std::shared_ptr<LoraSet> adapters_of(const Decoder& decoder, double dropout = 0) {
  auto generator = at::detail::createCPUGenerator(5);
  auto lora = std::make_shared<LoraSet>(decoder.config().layers, decoder.linear_shapes(),
                                        LoraOptions{.rank = 3, .alpha = 6, .dropout = dropout}, generator);
  const at::NoGradGuard no_gradient;
  for (Tensor& tensor : lora->parameters()) tensor.normal_(0, 0.2, generator);
  return lora;
}

double difference(const Tensor& a, const Tensor& b) { return (a - b).abs().max().item<double>(); }

class Passes : public ::testing::Test {
 protected:
  std::shared_ptr<const Decoder> decoder_ = tiny_decoder();
  std::shared_ptr<LoraSet> lora_ = adapters_of(*decoder_);
  TokenBatch text_ = random_contexts({12, 12});
  Tensor rows_ = decoder_->embed(text_.ids), positions_ = torch::arange(12).unsqueeze(0);
};

TEST_F(Passes, PositionsAndIdsOutsideOfTheModelAreRefused) {
  const at::NoGradGuard no_gradient;
  EXPECT_CONTAINS(error_of([&] { decoder_->hidden({.rows = rows_, .position_ids = positions_ + 245}); }),
                  "positions up to 255, found 256");
  EXPECT_CONTAINS(error_of([&] { decoder_->embed(torch::tensor({63, 64})); }), "ids below 64, found 64");
}

TEST_F(Passes, GeneratesOnlyIdsOfTheVocabulary) {
  const DecoderInput input{.rows = rows_, .lengths = text_.lengths, .position_ids = positions_.expand({2, -1})};
  for (const double temperature : {0.0, 5.0}) {
    for (const bool by_rows : {true, false}) {
      GenerateOptions options{.max_new_tokens = 40, .temperature = temperature, .vocabulary = 5, .by_rows = by_rows};
      int64_t highest = 0;
      for (const auto& ids : generate(*decoder_, input, options)) highest = std::max(highest, std::ranges::max(ids));
      EXPECT_LT(highest, 5);
      options.vocabulary = 0;
      for (const auto& ids : generate(*decoder_, input, options)) highest = std::max(highest, std::ranges::max(ids));
      EXPECT_GE(highest, 5);
    }
  }
}

TEST_F(Passes, GenerateRefusesRowsThatAreNotNumbersAndTakesAnyTopP) {
  const DecoderInput input{.rows = rows_, .lengths = text_.lengths, .position_ids = positions_.expand({2, -1})};
  const auto greedy = generate(*decoder_, input, {.max_new_tokens = 8});
  EXPECT_EQ(generate(*decoder_, input, {.max_new_tokens = 8, .temperature = 1, .top_p = 0}), greedy);
  EXPECT_EQ(generate(*decoder_, input, {.max_new_tokens = 8, .temperature = 1e-300}), greedy);
  DecoderInput broken = input;
  broken.rows = rows_ * NAN;
  EXPECT_CONTAINS(error_of([&] { generate(*decoder_, broken, {}); }), "logits are not numbers");
}

TEST_F(Passes, AdaptersChangeTheRowsTheyAreLimitedTo) {
  const at::NoGradGuard no_gradient;
  lora_->eval();
  const auto with = [&](const Tensor& rows) {
    return decoder_->hidden({.rows = rows_, .position_ids = positions_, .adapters = {lora_.get(), rows}});
  };
  const Tensor plain = decoder_->hidden({.rows = rows_, .position_ids = positions_}), adapted = with({});
  ASSERT_GT(difference(plain, adapted), 1e-2);
  EXPECT_LT(difference(with(torch::ones({2, 12}, torch::kBool)), adapted), 1e-5);
  EXPECT_LT(difference(with(torch::zeros({2, 12}, torch::kBool)), plain), 1e-6);
  // Adapters from row 7 on: under a causal mask, earlier rows do not change.
  const Tensor late = with((torch::arange(12) >= 7).unsqueeze(0));
  EXPECT_LT(difference(late.narrow(1, 0, 7), plain.narrow(1, 0, 7)), 1e-6);
  EXPECT_GT(difference(late.narrow(1, 7, 5), plain.narrow(1, 7, 5)), 1e-2);
  // Equals adapted rows after a past that was read without adapters.
  const Tensor index = torch::arange(7).unsqueeze(0).expand({2, -1});
  const auto past =
      decoder_->keys_values({.rows = rows_.narrow(1, 0, 7), .position_ids = positions_.narrow(1, 0, 7)}, index);
  const DecoderInput behind{.rows = rows_.narrow(1, 7, 5),
                            .position_ids = positions_.narrow(1, 7, 5),
                            .past = PastKeyValues{past, torch::tensor({7, 7})},
                            .adapters = {lora_.get()}};
  EXPECT_LT(difference(decoder_->hidden(behind), late.narrow(1, 7, 5)), 1e-5);
  DecoderInput planned = behind;  // and with an explicit mask after that past
  planned.plan = AttentionPlan::dense(torch::ones({1, 1, 5, 12}, torch::kBool).tril(7));
  EXPECT_LT(difference(decoder_->hidden(planned), late.narrow(1, 7, 5)), 1e-5);
}

TEST_F(Passes, AskedForOneThingOrForAllTheyGiveTheSame) {
  const at::NoGradGuard no_gradient;
  lora_->eval();
  const Tensor mask = torch::ones({1, 1, 12, 12}, torch::kBool).tril(), index = torch::tensor({{3, 11}, {0, 5}});
  const DecoderInput input{
      .rows = rows_, .position_ids = positions_, .plan = AttentionPlan::dense(mask), .adapters = {lora_.get()}};
  const DecoderOutput all = decoder_->run(input, {.keys_values = index, .states = true, .attention = true});
  EXPECT_TRUE(all.rows.equal(decoder_->hidden(input)));
  EXPECT_TRUE(all.states.back().equal(all.rows));
  const auto layers = static_cast<size_t>(decoder_->config().layers);
  ASSERT_EQ(all.states.size(), layers + 1);
  ASSERT_EQ(all.attention.size(), layers);
  const auto alone = decoder_->keys_values(input, index);
  for (size_t i = 0; i < layers; ++i) {
    EXPECT_TRUE(all.keys_values[i].k.equal(alone[i].k) && all.keys_values[i].v.equal(alone[i].v));
    EXPECT_LT(difference(all.attention[i].sum(-1), torch::ones({2, 4, 12})), 1e-5);
  }
  EXPECT_LT(difference(decoder_->run(input, {.first_row = 9}).rows, all.rows.narrow(1, 9, 3)), 1e-5);
  const DecoderOutput short_pass = decoder_->run(input, {.rows = false, .states = true, .layers = 1});
  EXPECT_TRUE(short_pass.states[0].equal(all.states[0]));
  EXPECT_FALSE(short_pass.rows.defined());
}

TEST_F(Passes, GradientsFlowIntoThePastAndThroughLimitedAdaptersAlsoWhenLayersRunAgain) {
  const Tensor few = (torch::arange(6) % 2 == 0).unsqueeze(0);
  for (const double dropout : {0.0, 0.3}) {
    const auto lora = adapters_of(*decoder_, dropout);
    const auto run = [&](bool recompute) {
      const RecomputeGuard guard(recompute);
      lora->set_dropout_generator(at::detail::createCPUGenerator(7));
      const Tensor first = rows_.narrow(1, 0, 6).detach().clone().requires_grad_();
      const auto past = decoder_->keys_values({.rows = first, .position_ids = positions_.narrow(1, 0, 6)},
                                              torch::arange(6).unsqueeze(0).expand({2, -1}));
      const Tensor out = decoder_->hidden({.rows = rows_.narrow(1, 6, 6),
                                           .position_ids = positions_.narrow(1, 6, 6),
                                           .past = PastKeyValues{past, torch::tensor({6, 6})},
                                           .adapters = {lora.get(), few}});
      std::vector<Tensor> of = lora->parameters();
      of.push_back(first);
      auto all = torch::autograd::grad({out.square().sum()}, of);
      all.push_back(out.detach());
      return all;
    };
    const auto kept = run(false), again = run(true);
    for (size_t i = 0; i < kept.size(); ++i) {
      const double largest = kept[i].abs().max().item<double>();
      EXPECT_GT(largest, 0) << "tensor " << i;
      EXPECT_LT(difference(kept[i], again[i]), 1e-5 * largest) << "tensor " << i << ", dropout " << dropout;
    }
    // Dropout falls on the adapters' input: rows without adapters before them do not change.
    lora_ = adapters_of(*decoder_);
    const auto alone = [&](const LoraSet& set) {
      return decoder_->hidden(
          {.rows = rows_, .position_ids = positions_, .adapters = {&set, (torch::arange(12) >= 8).unsqueeze(0)}});
    };
    EXPECT_LT(difference(alone(*lora).narrow(1, 0, 8), alone(*lora_).narrow(1, 0, 8)), 1e-6);
  }
}

}  // namespace
}  // namespace precis

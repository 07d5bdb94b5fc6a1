// The cost of compressing, in operations: growth with the text's length.
#include <torch/types.h>

#include "precis/config/schema.h"
#include "precis/eval/operations.h"
#include "support.h"

namespace precis::testing {
namespace {

double operations_of(Compressor& compressor, int64_t tokens) {
  const at::NoGradGuard no_gradient;
  const TokenBatch context = random_contexts({tokens});
  return count_operations([&] { compressor.compress(context); }).count;
}

class Costs : public ::testing::TestWithParam<CompressorCase> {};

TEST_P(Costs, GrowLinearlyWithTheNumberOfSegments) {
  const auto compressor = make_compressor(GetParam());
  if (compressor->reads_earlier_memory()) GTEST_SKIP() << "skipped: later segments attend to more";
  const double once = operations_of(*compressor, 64), twice = operations_of(*compressor, 128);
  EXPECT_GT(once, 1e5);
  EXPECT_NEAR(twice / once, 2, 1e-6);
}

INSTANTIATE_TEST_SUITE_P(All, Costs, ::testing::ValuesIn(compressor_cases()),
                         [](const auto& given) { return given.param.name; });

// The ratio of operations for one segment of 128 tokens and one of 64.
double growth(const std::string& preset) {
  const auto cost = [&](int64_t tokens) {
    const Config config =
        resolve_config(config_layers("", {"compressor.method=pic", "compressor.mask.preset=" + preset,
                                          "compressor.chunk=16", "compressor.ratio=4", "compressor.lora.rank=0",
                                          "compressor.segment_length=" + std::to_string(tokens)}),
                       CompressorRegistry::built_in().methods());
    const auto compressor =
        CompressorRegistry::built_in().make(config.compressor, {tiny_decoder(), -1, false, "hash", 5});
    return operations_of(*compressor, tokens);
  };
  return cost(128) / cost(64);
}

TEST(CostsWithinASegment, OfALocalMaskGrowLinearly) {
  EXPECT_NEAR(growth("pic-block"), 2, 1e-6);
  EXPECT_GT(growth("pic"), 2.05);                     // text sees all earlier text
  EXPECT_LT(growth("pic-recurrent"), growth("pic"));  // text sees earlier memory instead: a quarter of the rows
}

}  // namespace
}  // namespace precis::testing

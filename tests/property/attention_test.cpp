// Block plans of attention against the dense mask, forward and backward.
#include <ATen/CPUGeneratorImpl.h>
#include <ATen/Parallel.h>
#include <gtest/gtest.h>
#include <torch/autograd.h>
#include <torch/types.h>

#include "../../src/nn/row_shares.h"
#include "precis/core/strings.h"
#include "precis/eval/operations.h"
#include "precis/mask/mask_spec.h"
#include "precis/methods/transmission.h"
#include "precis/nn/cross_entropy.h"
#include "precis/nn/divergence.h"
#include "precis/nn/dropout.h"
#include "precis/nn/gated_mixture.h"
#include "precis/nn/linear.h"
#include "precis/nn/lora_linear.h"
#include "precis/nn/mask_plan.h"
#include "precis/nn/product_attention.h"
#include "precis/nn/rms_norm.h"
#include "precis/nn/rope.h"
#include "precis/nn/swiglu.h"
#include "precis/weights/weight_pool.h"
#include "support.h"

namespace precis {
namespace {

using testing::largest_difference;

struct GridPoint {
  std::string preset;
  int64_t prefix, chunk, group;
  std::vector<int64_t> texts;  // lengths of the contexts of one batch
};

class BlockPlan : public ::testing::TestWithParam<GridPoint> {};

TEST_P(BlockPlan, EqualsTheDenseMaskForwardAndBackward) {
  const GridPoint& p = GetParam();
  MaskConfig config;
  config.preset = p.preset == "window" ? "pic" : p.preset;
  if (p.preset == "window") {
    config.memory_to_text = "window";
    config.window = 2;
    config.memory_to_memory = "self_only";
    config.memory_sees_prefix = "no";
  }
  const MaskSpec spec = mask_spec(config);
  std::vector<int64_t> slots;
  SegmentShape shape{p.prefix, 0, p.chunk, p.group, 0};
  for (const int64_t text : p.texts) {
    slots.push_back(slots_of(text, p.chunk, p.group));
    shape.text = std::max(shape.text, text);
    shape.slots = std::max(shape.slots, slots.back());
  }
  const int64_t B = static_cast<int64_t>(p.texts.size()), S = shape.rows(), H = 4, K = 2, d = 8;
  const Tensor text_lengths = torch::tensor(p.texts), memory_lengths = torch::tensor(slots);
  at::manual_seed(1);
  const Tensor q = torch::randn({B, H, S, d}).requires_grad_(), k = torch::randn({B, K, S, d}).requires_grad_(),
               v = torch::randn({B, K, S, d}).requires_grad_();

  // Compare only rows that are not padding.
  const Tensor real = torch::cat({torch::ones({B, p.prefix}, torch::kBool), length_mask(text_lengths, shape.text),
                                  length_mask(memory_lengths, shape.slots)},
                                 1)
                          .view({B, 1, S, 1});
  const Tensor weight = torch::randn({B, H, S, d}) * real;
  const auto run = [&](const AttentionPlan& plan) {
    const Tensor out = attend(q, k, v, plan) * real;
    const auto gradients = torch::autograd::grad({(out * weight).sum()}, {q, k, v});
    return std::vector<Tensor>{out, gradients[0], gradients[1], gradients[2]};
  };
  const auto fast = run(block_plan(spec, shape, text_lengths, memory_lengths)),
             slow = run(dense_plan(spec, shape, text_lengths, memory_lengths));
  for (size_t i = 0; i < fast.size(); ++i) EXPECT_LT(largest_difference(fast[i], slow[i]), 1e-5) << "tensor " << i;

  AttentionPlan trimmed = block_plan(spec, shape, text_lengths, memory_lengths);
  trimmed.first_output_row = shape.prefix + shape.text;
  EXPECT_LT(largest_difference(attend(q, k, v, trimmed) * real.narrow(2, trimmed.first_output_row, shape.slots),
                               slow[0].narrow(2, trimmed.first_output_row, shape.slots)),
            1e-5);
}

std::vector<GridPoint> grid() {
  std::vector<GridPoint> points;
  for (const char* preset : {"pic", "pic-strict", "pic-recurrent", "pic-triangular", "pic-block", "icae", "window"}) {
    for (const int64_t prefix : {0, 1}) {
      points.push_back({preset, prefix, 4, 1, {12}});
      points.push_back({preset, prefix, 4, 2, {13, 5, 1}});
      points.push_back({preset, prefix, 8, 2, {30, 16}});
      points.push_back({preset, prefix, 5, 5, {9, 7}});
      points.push_back({preset, prefix, 64, 16, {20, 100}});
    }
  }
  return points;
}
INSTANTIATE_TEST_SUITE_P(Grid, BlockPlan, ::testing::ValuesIn(grid()));

TEST(Attention, AnchorPlanEqualsItsDenseMask) {
  at::manual_seed(2);
  const Tensor q = torch::randn({2, 4, 7, 8}), k = torch::randn({2, 2, 7, 8}), v = torch::randn({2, 2, 7, 8});
  const Tensor lengths = torch::tensor({7, 4}), anchors = torch::tensor({{1, 4}, {2, 7}});  // 7 means none
  Tensor mask = torch::ones({2, 7, 7}, torch::kBool).tril();
  mask[0][1].fill_(true);
  mask[0][4].fill_(true);
  mask[1][2].fill_(true);
  mask = mask.logical_and(length_mask(lengths, 7).unsqueeze(1)).logical_or(torch::eye(7).to(torch::kBool)).unsqueeze(1);
  const Tensor real = length_mask(lengths, 7).view({2, 1, 7, 1});
  const Tensor fast = attend(q, k, v, AttentionPlan::causal_with_anchors(anchors, lengths)) * real;
  EXPECT_LT(largest_difference(fast, attend(q, k, v, AttentionPlan::dense(mask)) * real), 1e-5);
}

}  // namespace
}  // namespace precis

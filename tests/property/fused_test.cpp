// Fused operations against their reference implementations and LibTorch's own.
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

// Expects equal values and gradients of two differentiable functions of the same leaves.
template <class Fast, class Slow>
void expect_matches_reference(const Fast& fast, const Slow& slow, const std::vector<Tensor>& leaves, double tolerance) {
  const Tensor a = fast(), b = slow(), weight = torch::randn_like(a);
  EXPECT_LT(largest_difference(a, b), tolerance);
  const auto ga = torch::autograd::grad({(a * weight).sum()}, leaves),
             gb = torch::autograd::grad({(b * weight).sum()}, leaves);
  for (size_t i = 0; i < ga.size(); ++i) EXPECT_LT(largest_difference(ga[i], gb[i]), tolerance * 10) << "leaf " << i;
}

TEST(Reference, RmsNorm) {
  const Tensor x = torch::randn({3, 5, 48}).requires_grad_(), w = torch::rand({48}) + 0.5;
  expect_matches_reference([&] { return frozen_rms_norm(x, w, 1e-5); }, [&] { return reference_rms_norm(x, w, 1e-5); },
                           {x}, 1e-5);
}

TEST(Reference, Rope) {
  for (const auto dtype : {torch::kFloat, torch::kDouble}) {  // double: the GPU's path, with LibTorch's operations
    const Tensor x = torch::randn({2, 5, 3, 8}, dtype).transpose(1, 2).requires_grad_(),
                 positions = torch::tensor({{0, 1, 2, 9, 4}, {7, 7, 8, 100, 3}});
    const RopeTable table = rope_table(positions, rope_frequencies({.dims = 8}), dtype);
    expect_matches_reference([&] { return apply_rope(x, table); }, [&] { return reference_rope(x, table); }, {x}, 1e-5);
  }
}

TEST(Reference, SwiGlu) {
  for (const int64_t width : {20, 300}) {
    const Tensor x = (torch::randn({4, 6, width}) * 4).requires_grad_();
    expect_matches_reference([&] { return swiglu(x); }, [&] { return reference_swiglu(x); }, {x}, 1e-5);
  }
  const Tensor far = torch::tensor({{-200.0F, -90.0F, 90.0F, 1.0F, 1.0F, 1.0F}});
  EXPECT_LT(largest_difference(swiglu(far), reference_swiglu(far)), 1e-5);
}

// Row kernels in bf16, forward and backward, within one rounding of LibTorch's bf16 operations.
TEST(Reference, RowsInBfloat16) {
  const auto bf16 = [](const Tensor& t) { return t.to(torch::kBFloat16).detach().requires_grad_(); };
  const Tensor x = bf16(torch::randn({3, 2, 5, 66})), w = (torch::rand({66}) + 0.5).to(torch::kBFloat16);
  const Tensor positions = torch::tensor({{0, 1, 2, 9, 400}});
  const RopeTable table = rope_table(positions, rope_frequencies({.dims = 66}), torch::kBFloat16);
  const auto expect = [&x](const auto& fast, const auto& slow) {
    const Tensor a = fast(), b = slow(), up = torch::randn_like(a);
    const Tensor ga = torch::autograd::grad({a}, {x}, {up})[0], gb = torch::autograd::grad({b}, {x}, {up})[0];
    const auto close = [](const Tensor& one, const Tensor& other) {
      const double largest = other.abs().max().item().toDouble();
      return largest_difference(one.to(torch::kFloat), other.to(torch::kFloat)) <= largest / 64;  // the last two bits
    };
    EXPECT_TRUE(close(a, b));
    EXPECT_TRUE(close(ga, gb));
  };
  expect([&] { return frozen_rms_norm(x, w, 1e-5); }, [&] { return reference_rms_norm(x, w, 1e-5); });
  expect([&] { return apply_rope(x, table); }, [&] { return reference_rope(x, table); });
  expect([&] { return swiglu(x); }, [&] { return reference_swiglu(x); });
}

// Grouped heads, shared and per-context masks, rows and keys below and above the vector width and the block size.
TEST(Reference, ProductAttention) {
  for (const auto& [T, S] :
       std::vector<std::pair<int64_t, int64_t>>{{5, 7}, {40, 70}, {33, 33}, {150, 150}, {150, 70}}) {
    const Tensor q = torch::randn({2, 4, T, 8}).requires_grad_(), k = torch::randn({2, 2, S, 8}).requires_grad_(),
                 v = torch::randn({2, 2, S, 8}).requires_grad_();
    for (const int64_t masks : {0, 1, 2}) {
      for (const bool causal : {false, true}) {
        Tensor mask;
        if (masks > 0) {
          mask = torch::rand({masks, 1, T, S}) > 0.5;
          mask.select(3, 0).fill_(true);  // every row sees something
        }
        expect_matches_reference([&, &causal = causal] { return product_attention(q, k, v, mask, causal); },
                                 [&, &causal = causal] { return reference_product_attention(q, k, v, mask, causal); },
                                 {q, k, v}, 1e-5);
        const at::NoGradGuard by_blocks;
        EXPECT_LT(largest_difference(product_attention(q, k, v, mask, causal),
                                     reference_product_attention(q, k, v, mask, causal)),
                  1e-5);
      }
    }
    const Tensor libtorch = at::scaled_dot_product_attention(q, k.repeat_interleave(2, 1), v.repeat_interleave(2, 1));
    EXPECT_LT(largest_difference(product_attention(q, k, v, {}, false), libtorch), 1e-5);
    const auto low = [](const Tensor& t) { return t.to(torch::kBFloat16); };
    for (const bool gradients : {true, false}) {
      const at::AutoGradMode mode(gradients);
      EXPECT_LT(largest_difference(product_attention(low(q), low(k), low(v), {}, true).to(torch::kFloat),
                                   reference_product_attention(low(q), low(k), low(v), {}, true).to(torch::kFloat)),
                0.04);  // of entries up to 3: bf16 keeps 8 bits
    }
  }
  const Tensor nothing = torch::zeros({1, 1, 1, 2}, torch::kBool), one = torch::ones({1, 1, 1, 4}),
               two = torch::ones({1, 1, 2, 4});
  EXPECT_TRUE(torch::equal(product_attention(one, two, two, nothing, false), torch::zeros_like(one)));
}

TEST(Reference, LoraLinear) {
  const Tensor x = torch::randn({2, 5, 12}).requires_grad_(), w = torch::randn({10, 12}), bias = torch::randn({10});
  const Tensor a1 = torch::randn({3, 12}).requires_grad_(), b1 = torch::randn({4, 3}).requires_grad_(),
               a2 = torch::randn({3, 12}).requires_grad_(), b2 = torch::randn({2, 3}).requires_grad_();
  const auto mask = [&x] { return dropout_mask(x.sizes(), x.device(), 0.5, {}); };
  const std::vector<LoraSlice> plain = {{0, a1, b1, {}}, {6, a2, b2, {}}},
                               masked = {{0, a1, b1, mask()}, {6, a2, b2, mask()}};
  for (const auto& slices : {plain, masked}) {
    for (const Tensor& offset : {bias, Tensor()}) {
      expect_matches_reference(
          [&] {
            return lora_linear({x, {}}, w, offset, slices, 0.5);
          },
          [&] { return reference_lora_linear(x, w, offset, slices, 0.5); }, {x, a1, b1, a2, b2}, 1e-5);
      const Tensor wide = torch::randn({2, 5, 24}).requires_grad_();  // a recomputed input
      expect_matches_reference(
          [&] {
            return lora_linear({wide, swiglu}, w, offset, slices, 0.5);
          },
          [&] { return reference_lora_linear(reference_swiglu(wide), w, offset, slices, 0.5); }, {wide, a1, b1, a2, b2},
          1e-5);
    }
  }
}

TEST(Reference, DropoutMaskKeepsItsShare) {
  const Tensor ones = torch::ones({301, 1001});
  const auto draw = [&ones](int threads) {
    at::set_num_threads(threads);
    return dropout_mask(ones.sizes(), torch::kCPU, 0.9, at::detail::createCPUGenerator(5));
  };
  const Tensor mask = draw(1);
  EXPECT_EQ(mask.numel(), (301 * 1001 + 7) / 8);
  EXPECT_TRUE(torch::equal(mask, draw(3)));
  at::set_num_threads(1);
  const Tensor keeps = kept(mask, ones).to(torch::kDouble);
  // 301,301 draws: the share's standard deviation is 5.5e-4.
  EXPECT_NEAR(keeps.mean().item<double>(), 0.9, 4 * 5.5e-4);
  const Tensor along = keeps.mean(0);  // and is the same for every column
  EXPECT_LT((along - 0.9).abs().max().item<double>(), 5 * std::sqrt(0.09 / 301));
  at::Generator generator = at::detail::createCPUGenerator(5);
  const Tensor first = dropout_mask({64}, torch::kCPU, 0.5, generator);
  EXPECT_FALSE(torch::equal(first, dropout_mask({64}, torch::kCPU, 0.5, generator)));  // the generator advances
}

// Bit masks against bool masks, with rows that do not end at byte boundaries; dropped entries are 0 even for inf.
TEST(Reference, DropoutBits) {
  for (const auto dtype : {torch::kFloat, torch::kBFloat16}) {
    const Tensor x = torch::randn({7, 19}).to(dtype), mask = dropout_mask(x.sizes(), torch::kCPU, 0.5, {});
    const Tensor bits = mask.unsqueeze(1).bitwise_right_shift(torch::arange(8, torch::kByte)).bitwise_and(1);
    const Tensor bools = bits.flatten().narrow(0, 0, x.numel()).view_as(x).to(torch::kBool);
    x[0].fill_(INFINITY);
    EXPECT_TRUE(torch::equal(kept(mask, x), kept(bools, x)));
    EXPECT_TRUE(torch::equal(kept(mask, x), x.masked_fill(bools.logical_not(), 0)));
    EXPECT_TRUE(torch::equal(kept(mask, x.t().contiguous().t()), kept(mask, x)));  // independent of strides
    Tensor sum = torch::ones_like(x);
    add_kept(mask, x, sum);
    EXPECT_TRUE(torch::equal(sum, torch::ones_like(x) + kept(mask, x)));
    Tensor by_bools = torch::ones_like(x);  // the GPU's path
    add_kept(bools, x, by_bools);
    EXPECT_TRUE(torch::equal(by_bools, sum));
  }
}

TEST(Reference, FrozenLinear) {
  const Tensor x = torch::randn({2, 5, 12}).requires_grad_(), w = torch::randn({10, 12}), bias = torch::randn({10});
  for (const Tensor& offset : {bias, Tensor()}) {
    expect_matches_reference([&] { return frozen_linear(x, w, offset); },
                             [&] { return reference_linear(x, w, offset); }, {x}, 1e-5);
  }
}

// Enough bf16 rows to be split, unevenly, across two threads.
TEST(Reference, FrozenLinearByRows) {
  const int before = at::get_num_threads();
  at::set_num_threads(2);
  const Tensor x = torch::randn({2, 301, 40}).to(torch::kBFloat16).requires_grad_(),
               w = torch::randn({24, 40}).to(torch::kBFloat16), bias = torch::randn({24}).to(torch::kBFloat16);
  ASSERT_EQ(row_shares(x.flatten(0, 1), w).size(), 2u);
  for (const Tensor& offset : {bias, Tensor()}) {
    const Tensor a = frozen_linear(x, w, offset), b = reference_linear(x, w, offset), up = torch::randn_like(a);
    const Tensor ga = torch::autograd::grad({a}, {x}, {up})[0], gb = torch::autograd::grad({b}, {x}, {up})[0];
    EXPECT_LT(largest_difference(a.to(torch::kFloat), b.to(torch::kFloat)), b.abs().max().item().toDouble() / 64);
    EXPECT_LT(largest_difference(ga.to(torch::kFloat), gb.to(torch::kFloat)), gb.abs().max().item().toDouble() / 64);
  }
  at::set_num_threads(before);
}

// The same with adapters, with and without gradients.
TEST(Reference, LoraLinearByRows) {
  const int before = at::get_num_threads();
  at::set_num_threads(2);
  const auto low = [](const Tensor& t) { return t.to(torch::kBFloat16); };
  const Tensor x = low(torch::randn({2, 301, 40})).requires_grad_(), w = low(torch::randn({24, 40})),
               bias = low(torch::randn({24}));
  ASSERT_EQ(row_shares(x.flatten(0, 1), w).size(), 2u);  // otherwise this compares a path with itself
  const std::vector<LoraSlice> slices = {
      {0, torch::randn({3, 40}).requires_grad_(), torch::randn({8, 3}).requires_grad_(), {}},
      {10, torch::randn({3, 40}).requires_grad_(), torch::randn({14, 3}).requires_grad_(), {}}};
  for (const Tensor& offset : {bias, Tensor()}) {
    const Tensor a = lora_linear({x, {}}, w, offset, slices, 0.3), b = reference_lora_linear(x, w, offset, slices, 0.3),
                 up = torch::randn_like(a);
    EXPECT_LT(largest_difference(a.to(torch::kFloat), b.to(torch::kFloat)), b.abs().max().item().toDouble() / 64);
    const std::vector<Tensor> leaves = {x, slices[0].a, slices[0].b, slices[1].a, slices[1].b};
    const auto ga = torch::autograd::grad({a}, leaves, {up}), gb = torch::autograd::grad({b}, leaves, {up});
    for (size_t i = 0; i < leaves.size(); ++i)
      EXPECT_LT(largest_difference(ga[i].to(torch::kFloat), gb[i].to(torch::kFloat)),
                gb[i].abs().max().item().toDouble() / 32);
    EXPECT_TRUE(torch::equal(lora_linear({x, {}}, w, offset, low_rank(slices, torch::kBFloat16), 0.3), a));
  }
  const auto operations = [&] {
    return count_operations([&] { lora_linear({x, {}}, w, {}, low_rank(slices, torch::kBFloat16), 0.3); }).count;
  };
  const double by_rows = operations();
  EXPECT_EQ(by_rows, 2.0 * 602 * (24 * 40 + 6 * 40 + 8 * 3 + 14 * 3));
  at::set_num_threads(1);
  EXPECT_EQ(operations(), by_rows);  // LibTorch's own products
  at::set_num_threads(before);
}

// A single NaN score or logit reaches the result: skipping non-finite steps relies on it.
TEST(Reference, NaNPropagates) {
  for (const auto dtype : {torch::kFloat, torch::kBFloat16}) {
    const Tensor q = torch::randn({1, 1, 3, 4}).to(dtype), v = torch::randn({1, 1, 40, 4}).to(dtype);
    Tensor k = torch::randn({1, 1, 40, 4}).to(dtype);
    k[0][0][2][1] = NAN;
    EXPECT_TRUE(product_attention(q, k, v, {}, false).isnan().all().item<bool>());
    const Tensor causal = product_attention(q, k, v, {}, true).isnan().any(-1).flatten();
    EXPECT_TRUE(torch::equal(causal, torch::tensor({false, false, true})));  // only rows that see it
    Tensor w = torch::randn({70, 4}).to(dtype);
    w[69][0] = NAN;
    const Tensor targets = torch::tensor({3, 1, 2});
    EXPECT_TRUE(std::isnan(linear_cross_entropy_sum(q.flatten(0, 2), w, targets).item<double>()));
  }
}

// The cached bf16 copies of the adapters are never outdated.
TEST(Reference, AdaptersWithoutTraining) {
  LoraSet set(2, {{"q_proj", 12, 8}, {"v_proj", 12, 4}}, {.rank = 3, .alpha = 6}, at::detail::createCPUGenerator(1));
  const Tensor x = torch::randn({5, 12}).to(torch::kBFloat16), w = torch::randn({16, 12}).to(torch::kBFloat16);
  const auto apply = [&] { return set.apply(1, {{"q_proj", 8}, {"k_proj", 4}, {"v_proj", 4}}, {x, {}}, w, {}); };
  Tensor last;
  const auto expect_current = [&](const char* after) {
    Tensor kept;
    {
      const at::NoGradGuard no_gradients;
      kept = apply();
    }
    EXPECT_TRUE(torch::equal(kept, apply().detach())) << after;
    EXPECT_FALSE(last.defined() && torch::equal(kept, last)) << after;
    last = kept;
  };
  set.eval();
  expect_current("start");
  std::vector<Tensor> tensors = set.layer_tensors(1);  // A and B of q_proj, then of v_proj
  {
    const at::NoGradGuard no_gradients;
    tensors[1].normal_();
    tensors[3].normal_();
  }
  expect_current("a change in place");
  tensors[2].set_data(torch::randn({3, 12}));
  expect_current("other memory");
  set.train();
  float* b = tensors[1].data_ptr<float>();  // a write that autograd does not see, as from an optimiser's kernel
  std::fill(b, b + tensors[1].numel(), 0.5F);
  set.eval();
  expect_current("training");
  {
    const c10::InferenceMode inference;
    EXPECT_TRUE(torch::equal(apply(), last));
  }
}

// States of widths around the vector size, in both dtypes, and with a non-contiguous state (the slow path).
TEST(Reference, SumsOverLayers) {
  for (const int64_t D : {1, 15, 16, 40}) {
    for (const auto dtype : {torch::kFloat, torch::kBFloat16}) {
      std::vector<Tensor> states;
      for (int k = 0; k < 4; ++k) states.push_back(torch::randn({2, 3, D}).to(dtype));
      const Tensor weights = torch::randn({4}).requires_grad_();
      expect_matches_reference([&] { return weighted_sum(states, weights); },
                               [&] { return reference_weighted_sum(states, weights); }, {weights}, 1e-5);
      const Tensor query = torch::randn({2, 3, D}).requires_grad_(), offset = torch::randn({2, 3, 4}).requires_grad_();
      const auto both = [](const GatedMixture& m) { return torch::cat({m.mixture, m.gate}, -1); };
      expect_matches_reference([&] { return both(gated_mixture(states, query, offset, 0.3)); },
                               [&] { return both(reference_gated_mixture(states, query, offset, 0.3)); },
                               {query, offset}, 2e-5);
      states[1] = states[1].transpose(0, 1).contiguous().transpose(0, 1);
      expect_matches_reference([&] { return weighted_sum(states, weights); },
                               [&] { return reference_weighted_sum(states, weights); }, {weights}, 1e-5);
      expect_matches_reference([&] { return both(gated_mixture(states, query, offset, 0.3)); },
                               [&] { return both(reference_gated_mixture(states, query, offset, 0.3)); },
                               {query, offset}, 2e-5);
    }
  }
}

TEST(Reference, TheGateFoldedAndLiteral) {
  DepthwiseGate gate(4, 24, 10, 0.7, at::detail::createCPUGenerator(3));
  std::vector<Tensor> states, leaves;
  for (int k = 0; k < 4; ++k) states.push_back(torch::randn({2, 5, 24}));
  for (auto& parameter : gate.named_parameters()) {
    if (parameter.key() != "k.bias")
      leaves.push_back(parameter.value());  // k.bias has no effect: its gradient is zero or rounding
  }
  const auto both = [](const GateOutput& out) { return torch::cat({out.x, out.gate}, -1); };
  expect_matches_reference([&] { return both(gate.forward(states)); },
                           [&] { return both(gate.forward_literal(states)); }, leaves, 1e-5);
}

TEST(Reference, LinearDivergenceInBlocksOfAnySize) {
  const Tensor rows = torch::randn({7, 8}).requires_grad_(), teacher = torch::randn({7, 8}),
               weight = torch::randn({50, 8});
  for (const int64_t top_k : {0, 5}) {
    for (const int64_t block : {1, 3, 64}) {
      expect_matches_reference([&] { return linear_divergence_sum(rows, teacher, weight, 2.5, top_k, block); },
                               [&] { return reference_linear_divergence_sum(rows, teacher, weight, 2.5, top_k); },
                               {rows}, 2e-4);
    }
  }
}

TEST(Reference, LinearCrossEntropyInBlocksOfAnySize) {
  const Tensor rows = torch::randn({11, 16}).requires_grad_(), weight = torch::randn({30, 16}),
               targets = torch::randint(0, 30, {11});
  for (const int64_t block : {1, 4, 64}) {
    expect_matches_reference(
        [&] { return linear_cross_entropy_sum(rows, weight, targets, block); },
        [&] { return at::cross_entropy_loss(torch::linear(rows, weight), targets, {}, at::Reduction::Sum); }, {rows},
        2e-4);
  }
  // bf16: the loss of the same bf16 logits, the gradient to bf16's precision.
  const Tensor low = rows.detach().to(torch::kBFloat16).requires_grad_(), w = weight.to(torch::kBFloat16);
  const Tensor fast = linear_cross_entropy_sum(low, w, targets, 4),
               slow = at::cross_entropy_loss(torch::linear(low, w).to(torch::kFloat), targets, {}, at::Reduction::Sum);
  EXPECT_LT(largest_difference(fast, slow), 1e-3);
  const Tensor ga = torch::autograd::grad({fast}, {low})[0], gb = torch::autograd::grad({slow}, {low})[0];
  EXPECT_LT(largest_difference(ga.to(torch::kFloat), gb.to(torch::kFloat)), gb.abs().max().item().toDouble() / 64);
}

TEST(WeightPool, KeepsWhatItIsGiven) {
  WeightPool pool;
  std::vector<Tensor> kept;
  for (const int64_t n : {3, 1 << 24, 1 << 23, 5}) kept.push_back(pool.keep(torch::full({n}, n, torch::kInt)));
  pool = WeightPool();  // tensors outlive the pool
  for (const Tensor& t : kept) {
    EXPECT_TRUE(torch::equal(t, torch::full_like(t, t.numel())));
    EXPECT_EQ(reinterpret_cast<uintptr_t>(t.const_data_ptr()) % 64, 0U);
  }
  const Tensor trained = torch::ones({2}).requires_grad_();
  EXPECT_TRUE(WeightPool().keep(trained).is_same(trained));
  const Tensor transposed = torch::arange(6).view({2, 3}).t();
  EXPECT_TRUE(torch::equal(WeightPool().keep(transposed), transposed));
}

}  // namespace
}  // namespace precis

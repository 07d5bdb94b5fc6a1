// GPU results equal CPU results, the expected kernels run, and GPU-only features work. Skipped without a GPU.
#include <ATen/record_function.h>
#include <gtest/gtest.h>
#include <torch/cuda.h>
#include <torch/types.h>

#include <fstream>
#include <mutex>
#include <set>

#include "precis/compress/checkpoint.h"
#include "precis/compress/parts.h"
#include "precis/core/json.h"
#include "precis/core/strings.h"
#include "precis/memory/memory_blocks.h"
#include "precis/memory/memory_file.h"
#include "precis/model/generate.h"
#include "precis/nn/attention.h"
#include "precis/nn/device.h"
#include "support.h"
#include "training.h"

#define PRECIS_SKIP_WITHOUT_GPU() \
  if (!torch::cuda::is_available()) GTEST_SKIP() << "skipped: no GPU here"

namespace precis {
namespace {

using testing::make_compressor;
using testing::questions;
using testing::random_contexts;
using testing::tiny_decoder;

double greatest(const Tensor& t) { return t.abs().max().item<double>(); }

// The largest difference, as a share of the largest value.
double difference(const Tensor& a, const Tensor& b) {
  return greatest(a.cpu().to(torch::kDouble) - b.cpu().to(torch::kDouble)) / std::max(1e-12, greatest(b));
}

class EveryCompressorOnGpu : public ::testing::TestWithParam<testing::CompressorCase> {};

TEST_P(EveryCompressorOnGpu, ComputesTheSameRowsLossAndGradients) {
  PRECIS_SKIP_WITHOUT_GPU();
  const auto here = make_compressor(GetParam()), there = make_compressor(GetParam(), "cuda");
  const TokenBatch contexts = random_contexts({37, 5, 16, 1});
  const TaskTokens asked = questions(Task::qa, {6, 3, 9, 4}, {0, 1, 2, 3}, false),
                   answered = questions(Task::qa, {6, 3, 9, 4}, {3, 1, 2, 0}, true);
  for (const auto& compressor : {here, there}) compressor->eval();
  {
    const c10::InferenceMode inference;
    const auto rows = [&](Compressor& c) { return c.decoder().hidden(c.prompt(c.compress(contexts), asked)); };
    const Tensor expected = rows(*here), found = rows(*there);
    ASSERT_TRUE(found.is_cuda());
    const Tensor lengths = here->prompt(here->compress(contexts), asked).lengths;
    for (int64_t b = 0; b < 4; ++b) {
      const int64_t n = lengths[b].item<int64_t>();
      EXPECT_LT(difference(found[b].narrow(0, 0, n), expected[b].narrow(0, 0, n)), 1e-4) << "context " << b;
    }
  }
  for (const auto& compressor : {here, there}) compressor->train();
  const auto loss = [&](Compressor& c) { return decoder_loss(c.decoder(), c.prompt(c.compress(contexts), answered)); };
  const LossSum expected = loss(*here), found = loss(*there);
  EXPECT_EQ(found.count, expected.count);
  EXPECT_LT(difference(found.sum, expected.sum), 1e-4);
  expected.sum.backward();
  found.sum.backward();
  double largest = 0;
  for (const auto& parameter : here->parameters()) {
    if (parameter.grad().defined()) largest = testing::larger(largest, greatest(parameter.grad()));
  }
  const auto gradients = there->named_parameters();
  for (const auto& parameter : here->named_parameters()) {
    const Tensor own = gradients[parameter.key()].grad();
    ASSERT_EQ(own.defined(), parameter.value().grad().defined()) << parameter.key();
    if (!own.defined()) continue;
    const double error = greatest(own.cpu() - parameter.value().grad());  // zero gradients leave only rounding
    EXPECT_LT(error, 1e-3 * greatest(parameter.value().grad()) + 1e-6 * largest) << parameter.key();
  }
}

TEST_P(EveryCompressorOnGpu, AnswersWithTheSameTokensAlsoFromAMemoryFile) {
  PRECIS_SKIP_WITHOUT_GPU();
  const auto here = make_compressor(GetParam()), there = make_compressor(GetParam(), "cuda");
  for (const auto& compressor : {here, there}) compressor->eval();
  const c10::InferenceMode inference;
  const TokenBatch contexts = random_contexts({30, 7});
  const TaskTokens task = questions(Task::qa, {6, 3}, {0, 1}, false);
  const auto answer = [&](Compressor& c, const Memory& memory, bool by_rows = true) {
    return generate(c.decoder(), c.prompt(memory, task), {.max_new_tokens = 24, .by_rows = by_rows});
  };
  const Memory made_here = here->compress(contexts), made_there = there->compress(contexts);
  const auto expected = answer(*here, made_here);
  EXPECT_EQ(answer(*there, made_there), expected);
  EXPECT_EQ(answer(*there, made_there, false), expected) << "token by token, without a graph";
  EXPECT_EQ(answer(*there, made_here), expected) << "a memory in CPU memory";
  const testing::TemporaryFolder folder;
  std::vector<Memory> loaded;
  for (int64_t b = 0; b < 2; ++b) {
    save_memory(folder / cat(b), {select_context(made_there, b), "", ""});
    loaded.push_back(load_memory(folder / cat(b)).memory);
  }
  EXPECT_EQ(answer(*here, stack(loaded)), expected);
  EXPECT_EQ(answer(*there, stack(loaded)), expected);
  const Memory in_parts = compress_in_parts(*there, contexts, 1);
  EXPECT_EQ(answer(*there, in_parts), expected);
}

TEST_P(EveryCompressorOnGpu, ConcatenatesDocumentsAsOnTheCpu) {
  PRECIS_SKIP_WITHOUT_GPU();
  const auto here = make_compressor(GetParam()), there = make_compressor(GetParam(), "cuda");
  for (const auto& compressor : {here, there}) compressor->eval();
  const c10::InferenceMode inference;
  const TaskTokens task = questions(Task::qa, {6}, {0}, false);
  const auto answer = [&](Compressor& c) {
    const Memory both =
        concatenate({c.compress(random_contexts({20}, 1)), c.compress(random_contexts({11}, 2))}, c.decoder());
    return generate(c.decoder(), c.prompt(both, task), {.max_new_tokens = 12});
  };
  EXPECT_EQ(answer(*there), answer(*here));
}

INSTANTIATE_TEST_SUITE_P(All, EveryCompressorOnGpu, ::testing::ValuesIn(testing::compressor_cases()),
                         [](const auto& test) { return test.param.name; });

std::vector<double> losses_of(const std::filesystem::path& run) {
  std::vector<double> losses;
  std::ifstream file(run / "metrics.jsonl");
  for (std::string line; std::getline(file, line);) {
    const Json json = Json::parse(line);
    if (json.at("event") == "step") losses.push_back(json.at("loss"));
  }
  return losses;
}

void expect_near(const std::vector<double>& a, const std::vector<double>& b, double tolerance) {
  ASSERT_EQ(a.size(), b.size());
  for (size_t i = 0; i < a.size(); ++i) EXPECT_NEAR(a[i], b[i], tolerance) << "step " << i + 1;
}

TEST(Gpu, TrainsAsTheCpuDoes) {
  PRECIS_SKIP_WITHOUT_GPU();
  for (const std::string method : {"pic", "sac"}) {
    const testing::TemporaryFolder here, there;
    const std::vector<std::string> overrides = {"compressor.method=" + method, "compressor.lora.dropout=0"};
    testing::run_training(testing::training_config(here.path(), overrides));
    testing::run_training(testing::training_config(there.path(), overrides), 1, ProcessGroup(), "cuda");
    expect_near(losses_of(there.path()), losses_of(here.path()), 1e-3);
  }
}

// Dropout masks depend on the step alone, so a resumed run has the losses of an uninterrupted one. With recomputed
// layers, masks are drawn twice and must be the same.
TEST(Gpu, DropoutDependsOnTheStepAlone) {
  PRECIS_SKIP_WITHOUT_GPU();
  const std::vector<std::string> overrides = {"compressor.lora.dropout=0.3", "train.schedule=constant"};
  const auto with = [&](const std::string& more) {
    auto all = overrides;
    all.push_back(more);
    return all;
  };
  const testing::TemporaryFolder whole, halves, again;
  testing::run_training(testing::training_config(whole.path(), overrides), 1, ProcessGroup(), "cuda");
  testing::run_training(testing::training_config(halves.path(), with("train.steps=5")), 1, ProcessGroup(), "cuda");
  testing::run_training(testing::training_config(halves.path(), overrides), 1, ProcessGroup(), "cuda");
  testing::run_training(testing::training_config(again.path(), with("train.recompute=true")), 1, ProcessGroup(),
                        "cuda");
  expect_near(losses_of(halves.path()), losses_of(whole.path()), 1e-4);
  expect_near(losses_of(again.path()), losses_of(whole.path()), 1e-4);
}

// Names of the operations that `call` runs.
std::mutex names_mutex;
std::set<std::string>* recorded_names = nullptr;
std::set<std::string> operations_in(const std::function<void()>& call) {
  std::set<std::string> names;
  recorded_names = &names;
  const auto handle = at::addGlobalCallback(
      at::RecordFunctionCallback([](const at::RecordFunction& function) -> std::unique_ptr<at::ObserverContext> {
        const std::lock_guard lock(names_mutex);
        recorded_names->insert(function.name());
        return nullptr;
      }).scopes({at::RecordScope::FUNCTION}));
  call();
  at::removeCallback(handle);
  return names;
}

TEST(Gpu, AttentionNeverBuildsAMatrixOfScores) {
  PRECIS_SKIP_WITHOUT_GPU();
  const auto options = torch::TensorOptions().dtype(torch::kBFloat16).device(torch::kCUDA);
  const Tensor q = torch::randn({2, 9, 80, 64}, options), k = torch::randn({2, 3, 80, 64}, options),
               v = torch::randn({2, 3, 80, 64}, options);
  const Tensor lengths = torch::tensor({80, 50}, torch::TensorOptions().dtype(torch::kLong).device(torch::kCUDA));
  const Tensor mask = torch::ones({2, 1, 80, 80}, options.dtype(torch::kBool)).tril();
  for (const bool trains : {false, true}) {
    const auto run = [&](const AttentionPlan& plan) {
      return operations_in([&] {
        const Tensor input = q.detach().requires_grad_(trains), out = attend(input, k, v, plan);
        if (trains) out.sum().backward();
      });
    };
    const auto none_of_them = [](const std::set<std::string>& names) {
      return names.count("aten::_scaled_dot_product_attention_math") == 0 && names.count("aten::softmax") == 0 &&
             names.count("aten::_softmax") == 0;
    };
    const auto causal = run(AttentionPlan::causal());
    EXPECT_TRUE(none_of_them(causal));
    EXPECT_TRUE(causal.count("aten::_scaled_dot_product_flash_attention") +
                causal.count("aten::_scaled_dot_product_cudnn_attention"));
    for (const auto& plan : {AttentionPlan::dense(mask), AttentionPlan::full(lengths)}) {
      const auto masked = run(plan);
      EXPECT_TRUE(none_of_them(masked)) << plan.to_string();
      EXPECT_TRUE(masked.count("aten::_scaled_dot_product_efficient_attention") +
                  masked.count("aten::_scaled_dot_product_cudnn_attention"))
          << plan.to_string();
    }
  }
}

TEST(Gpu, PeakMemoryIsCounted) {
  PRECIS_SKIP_WITHOUT_GPU();
  reset_peak_device_bytes(torch::kCUDA);
  const int64_t before = peak_device_bytes(torch::kCUDA);
  { const Tensor t = torch::ones({1 << 20}, torch::kCUDA); }
  wait_for(torch::kCUDA);
  EXPECT_GE(peak_device_bytes(torch::kCUDA), before + (4 << 20));
}

TEST(Gpu, SamplingDependsOnTheSeedAlone) {
  PRECIS_SKIP_WITHOUT_GPU();
  const auto decoder = tiny_decoder("cuda");
  const Tensor ids = random_contexts({9}).ids;
  const DecoderInput input{decoder->embed(ids), torch::tensor({9}), torch::arange(9).unsqueeze(0)};
  const auto sample = [&](uint64_t seed) {
    return generate(*decoder, input, {.max_new_tokens = 30, .temperature = 4, .top_p = 0.95, .seed = seed});
  };
  EXPECT_EQ(sample(1), sample(1));
  EXPECT_NE(sample(1), sample(2));
}

}  // namespace
}  // namespace precis

// The row decoder equals the full decoder pass that it replaces: for every family, prompts of unequal length, and a
// cache in either dtype.
#include <ATen/CPUGeneratorImpl.h>
#include <torch/types.h>

#include "precis/model/continuation.h"
#include "precis/model/generate.h"
#include "support.h"

namespace precis::testing {
namespace {

struct Family {
  std::string name;
  Json changes;
  std::vector<std::string> extra;  // tensors of a layer that Llama lacks
  bool golden = false;             // the decoder of the golden case of this name
};

std::ostream& operator<<(std::ostream& out, const Family& family) { return out << family.name; }

std::shared_ptr<const Decoder> decoder_of(const Family& family, const std::string& dtype = "float32",
                                          const std::string& decode_dtype = "same") {
  if (family.golden) {
    const auto path = std::filesystem::path(PRECIS_SOURCE_DIR) / "tests" / "golden" / family.name;
    return load_decoder(path, dtype, "cpu", decode_dtype);
  }
  const TemporaryFolder folder;
  write_tiny_model(folder.path(), family.changes);
  TensorMap tensors;
  {
    const SafetensorsFile llama(folder / "model.safetensors");
    for (const auto& [name, entry] : llama.entries()) tensors[name] = llama.tensor(name).clone();
  }
  const at::Generator generator = at::detail::createCPUGenerator(11);
  for (int layer = 0; layer < 2; ++layer) {
    for (const std::string& name : family.extra) {
      const std::string p = "model.layers." + std::to_string(layer) + ".self_attn." + name;
      const int64_t width = name.ends_with("norm.weight") ? 8 : name[0] == 'q' ? 32 : 16;
      tensors[p] = torch::empty({width}).uniform_(0.5, 1.5, generator);
    }
  }
  write_safetensors(folder / "model.safetensors", tensors);
  return load_decoder(folder.path(), dtype, "cpu", decode_dtype);
}

DecoderInput prompts(const Decoder& decoder) {
  const TokenBatch contexts = random_contexts({9, 4, 13});
  return {.rows = decoder.embed(contexts.ids),
          .lengths = contexts.lengths,
          .position_ids = torch::arange(13).expand({3, 13})};
}

// Logits of `steps` more fixed tokens: by the row decoder, or by the reference implementation.
std::vector<Tensor> logits_of(const Decoder& decoder, bool by_rows, int64_t steps) {
  const at::NoGradGuard no_gradient;
  const DecoderInput input = prompts(decoder);
  const DecoderConfig& c = decoder.config();
  KvCache cache(c.layers, 3, c.kv_heads, 13 + steps, c.head_dim, torch::TensorOptions().dtype(decoder.dtype()));
  decoder.hidden(input, &cache);
  RowDecoder rows(*decoder.row_weights(), {&cache});
  std::vector<Tensor> out;
  for (int64_t step = 0; step < steps; ++step) {
    const Tensor ids = torch::tensor({5 + step, 40 - step, 20 + 3 * step % 7}, torch::kLong),
                 positions = input.lengths + step;
    if (by_rows) {
      out.push_back(rows.next(ids, positions).clone());
    } else {
      const Tensor states = decoder.hidden({.rows = decoder.embed(ids.unsqueeze(1)),
                                            .lengths = torch::ones({3}, torch::kLong),
                                            .position_ids = positions.unsqueeze(1)},
                                           &cache);
      out.push_back(decoder.logits(states.squeeze(1)).to(torch::kFloat));
    }
  }
  return out;
}

double largest_difference(const std::vector<Tensor>& a, const std::vector<Tensor>& b) {
  double largest = 0;
  for (size_t i = 0; i < a.size(); ++i) largest = testing::larger(largest, (a[i] - b[i]).abs().max().item<double>());
  return largest;
}

const std::vector<Family>& families() {
  static const std::vector<Family> all = {
      {"llama", Json::object(), {}},
      {"untied_scaled", {{"rope_scaling", {{"rope_type", "linear"}, {"factor", 4.0}}}}, {}},
      {"mistral", {{"model_type", "mistral"}, {"sliding_window", 6}}, {}},
      {"qwen2", {{"model_type", "qwen2"}}, {"q_proj.bias", "k_proj.bias", "v_proj.bias"}},
      {"qwen3", {{"model_type", "qwen3"}}, {"q_norm.weight", "k_norm.weight"}},
      {"gemma3", {}, {}, true},
      {"gemma3_by_layer_type", {}, {}, true},
      {"phi3", {}, {}, true},
      {"olmo2", {}, {}, true},
      {"smollm3", {}, {}, true},
      {"smollm3_listed", {}, {}, true},
      {"qwen2_windows", {}, {}, true},
      {"qwen3_yarn_scaled", {}, {}, true},
  };
  return all;
}

class RowDecoders : public ::testing::TestWithParam<Family> {};

TEST_P(RowDecoders, GiveTheLogitsOfTheWholePass) {
  const auto decoder = decoder_of(GetParam());
  EXPECT_LT(largest_difference(logits_of(*decoder, true, 12), logits_of(*decoder, false, 12)), 2e-5);
}

TEST_P(RowDecoders, AnswerLikeTheWholePass) {
  const auto decoder = decoder_of(GetParam());
  GenerateOptions options{.max_new_tokens = 20, .end_ids = {1}};
  const auto by_rows = generate(*decoder, prompts(*decoder), options);
  options.by_rows = false;
  EXPECT_EQ(by_rows, generate(*decoder, prompts(*decoder), options));
}

INSTANTIATE_TEST_SUITE_P(Families, RowDecoders, ::testing::ValuesIn(families()));

// With bf16 weights, the row decoder rounds only weights and cache, the full pass also rounds every activation: the row
// decoder must be closer to fp32.
// Continuations that begin and end at different times get the logits that each gets alone.
TEST(RowDecoder, ReadsSeveralContinuationsTogether) {
  const c10::InferenceMode inference;
  const auto decoder = testing::tiny_decoder();
  const auto prompt = [&](int64_t length) {
    const Tensor ids = torch::arange(3, 3 + length).unsqueeze(0);
    return DecoderInput{decoder->embed(ids), torch::tensor({length}), torch::arange(length).unsqueeze(0)};
  };
  std::vector<std::unique_ptr<Continuation>> alone, together;
  for (int64_t i = 0; i < 20; ++i) {  // more than one RowDecoder has rows
    alone.push_back(std::make_unique<Continuation>(*decoder, prompt(2 + i), 8 + i));
    together.push_back(std::make_unique<Continuation>(*decoder, prompt(2 + i), 8 + i));
  }
  for (int64_t step = 0; step < 8; ++step) {
    const int64_t from = step < 4 ? 0 : 7;  // some end
    std::vector<Continuation*> members;
    std::vector<int64_t> ids;
    for (int64_t i = from; i < 20; ++i) {
      members.push_back(together[static_cast<size_t>(i)].get());
      ids.push_back((7 * i + 3 * step) % 60);
      alone[static_cast<size_t>(i)]->read(torch::tensor({ids.back()}));
    }
    JointContinuation joint(*decoder, members);
    joint.read(torch::tensor(ids));
    for (int64_t i = from; i < 20; ++i) {
      const auto at = static_cast<size_t>(i);
      EXPECT_TRUE(torch::equal(alone[at]->logits(), together[at]->logits()))
          << "continuation " << i << " step " << step;
    }
  }
}

TEST(RowDecoder, IsMorePreciseThanABf16Pass) {
  const Family& llama = families().front();
  const auto exact = logits_of(*decoder_of(llama), false, 12);
  const double pass = largest_difference(logits_of(*decoder_of(llama, "bfloat16"), false, 12), exact);
  const double rows = largest_difference(logits_of(*decoder_of(llama, "bfloat16"), true, 12), exact);
  const double weights_alone =
      largest_difference(logits_of(*decoder_of(llama, "float32", "bfloat16"), true, 12), exact);
  EXPECT_LT(rows, pass);
  EXPECT_LT(weights_alone, pass);
  EXPECT_GT(weights_alone, 1e-4);  // the weights are really rounded
}

TEST(RowDecoder, ARowDoesNotDependOnItsBatch) {
  const at::Generator generator = at::detail::createCPUGenerator(3);
  const Tensor weight = torch::randn({50, 37}, generator), x = torch::randn({9, 37}, generator);
  const RowWeight product(weight);
  Tensor all = torch::empty({9, 50});
  product.multiply(x.const_data_ptr<float>(), 9, all.mutable_data_ptr<float>());
  for (int64_t r = 0; r < 9; ++r) {
    Tensor one = torch::empty({1, 50});
    product.multiply(x[r].const_data_ptr<float>(), 1, one.mutable_data_ptr<float>());
    EXPECT_TRUE(torch::equal(one[0], all[r]));
  }
}

TEST(Reference, RowLinear) {
  const at::Generator generator = at::detail::createCPUGenerator(3);
  for (const int64_t in : {8, 32, 45, 128}) {
    for (const int64_t rows : {1, 3, 4, 9}) {
      for (const auto dtype : {torch::kFloat, torch::kBFloat16}) {
        const Tensor weight = torch::randn({77, in}, generator).to(dtype), bias = torch::randn({77}, generator),
                     x = torch::randn({rows, in}, generator), before = torch::randn({rows, 77}, generator);
        Tensor y = before.clone();
        RowWeight(weight, bias).multiply(x.const_data_ptr<float>(), rows, y.mutable_data_ptr<float>(), true);
        EXPECT_TRUE(torch::allclose(y, before + reference_row_linear(x, weight, bias), 1e-5, 1e-5)) << in << rows;
        RowWeight(weight).multiply(x.const_data_ptr<float>(), rows, y.mutable_data_ptr<float>());
        EXPECT_TRUE(torch::allclose(y, reference_row_linear(x, weight, {}), 1e-5, 1e-5)) << in << rows;
      }
    }
  }
}

TEST(Reference, AttendOneRow) {
  const at::Generator generator = at::detail::createCPUGenerator(3);
  for (const auto dtype : {torch::kFloat, torch::kBFloat16}) {
    const Tensor q = torch::randn({1, 24}, generator), k = torch::randn({31, 24}, generator).to(dtype),
                 v = torch::randn({31, 24}, generator).to(dtype);
    std::vector<float> scores(31);
    Tensor out = torch::empty({1, 24});
    attend_one_row(q.const_data_ptr<float>(), dtype, k.const_data_ptr(), v.const_data_ptr(), 31, 24, 0.3F,
                   scores.data(), out.mutable_data_ptr<float>());
    const Tensor expected = (q.matmul(k.to(torch::kFloat).t()) * 0.3).softmax(-1).matmul(v.to(torch::kFloat));
    EXPECT_TRUE(torch::allclose(out, expected, 1e-5, 1e-5));
  }
}

}  // namespace
}  // namespace precis::testing

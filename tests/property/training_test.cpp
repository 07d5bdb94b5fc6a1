// The trainer on a tiny decoder: batches, stages, learning rates, objectives, the optimiser.
#include <gtest/gtest.h>
#include <torch/types.h>

#include <chrono>

#include "precis/compress/checkpoint.h"
#include "precis/config/schema.h"
#include "precis/core/strings.h"
#include "precis/data/corpus_windows.h"
#include "precis/data/synth.h"
#include "precis/methods/memory_tokens.h"
#include "precis/train/objective.h"
#include "precis/train/run_folder.h"
#include "precis/train/trainer.h"
#include "support.h"
#include "training.h"

namespace precis {
namespace {

using testing::error_of;
using testing::letter_tokenizer;
using testing::losses;
using testing::passages;
using testing::run_training;
using testing::TemporaryFolder;
using testing::tiny_decoder;
using testing::training_config;
using testing::write_text;

TEST(Training, BatchesAreAPureFunctionOfSeedAndStep) {
  const auto tokenizer = letter_tokenizer();
  const Config config = training_config("unused");
  const PassageSet data(passages(), *tokenizer, config.data, false);
  for (const Task task : {Task::ae, Task::lm, Task::qa}) {
    const auto a = data.batch(1, 7, 3, task), b = data.batch(1, 7, 3, task), c = data.batch(1, 8, 3, task);
    EXPECT_TRUE(a.context.ids.equal(b.context.ids) && a.task.ids.equal(b.task.ids) &&
                a.task.labels.equal(b.task.labels));
    EXPECT_FALSE(a.context.ids.sizes() == c.context.ids.sizes() && a.context.ids.equal(c.context.ids));
  }
}

TEST(Training, PartsOfABatchAreWhatTheWholeBatchHas) {
  const auto tokenizer = letter_tokenizer();
  const PassageSet data(passages(), *tokenizer, training_config("unused").data, false);
  for (const Task task : {Task::ae, Task::lm, Task::qa}) {
    const auto whole = data.batch(1, 3, 5, task), front = data.batch(1, 3, 5, task, 0, 2),
               back = data.batch(1, 3, 5, task, 2, 3);
    EXPECT_EQ(front.context.lengths.size(0) + back.context.lengths.size(0), 5);
    EXPECT_EQ(front.tokens + back.tokens, whole.tokens);
    const int64_t rows = front.task.ids.size(0), width = front.task.ids.size(1);
    EXPECT_TRUE(whole.task.ids.narrow(0, 0, rows).narrow(1, 0, width).equal(front.task.ids));
    EXPECT_TRUE(whole.task.lengths.narrow(0, rows, back.task.ids.size(0)).equal(back.task.lengths));
  }
}

// The trained tensors after a run with these settings.
TensorMap trained_after(const std::filesystem::path& dir, std::vector<std::string> overrides) {
  const Config config = training_config(dir, std::move(overrides));
  run_training(config);
  TensorMap out;
  const SafetensorsFile file(dir / "compressor" / "compressor.safetensors");
  for (const auto& [name, entry] : file.entries()) out[name] = file.tensor(name).clone();
  return out;
}

double largest_difference(const TensorMap& a, const TensorMap& b) {
  double largest = 0;
  for (const auto& [name, tensor] : a)
    largest = testing::larger(largest, (tensor - b.at(name)).abs().max().item<double>());
  return largest;
}

TEST(Training, MicroBatchesEqualOneLargeBatch) {
  const TemporaryFolder folder;
  const std::vector<std::string> dropout = {"compressor.lora.dropout=0", "train.batch=5", "train.objectives.ae=0.3",
                                            "compressor.decoder_bos=yes"};
  const auto whole = trained_after(folder / "whole", dropout);
  for (const char* micro : {"1", "2", "4"}) {
    auto options = dropout;
    options.push_back(cat("train.micro_batch=", micro));
    EXPECT_LT(largest_difference(whole, trained_after(folder / micro, options)), 1e-5) << micro;
  }
}

// Not bit for bit: without gradients attention uses another kernel.
TEST(Training, RecomputationChangesNothingButRounding) {
  for (const auto& c : testing::compressor_cases()) {
    const TemporaryFolder folder;
    auto overrides = c.overrides;
    const CompressorConfig own = CompressorRegistry::built_in().defaults(c.method(), c.form());
    overrides.insert(overrides.begin(), {"compressor.carrier=" + own.carrier, "compressor.projector=" + own.projector});
    overrides.insert(overrides.end(), {"train.steps=3", "train.clip=0"});
    overrides.push_back(c.name == "comprexit" ? "compressor.lora.rank=0" : "compressor.lora.dropout=0.2");
    const auto plain = trained_after(folder / "plain", overrides);
    overrides.push_back("train.recompute=true");
    EXPECT_LT(largest_difference(plain, trained_after(folder / "again", overrides)), 1e-4) << c.name;
    const auto a = losses(folder / "plain"), b = losses(folder / "again");
    for (size_t i = 0; i < a.size(); ++i) EXPECT_NEAR(a[i][1].get<double>(), b[i][1].get<double>(), 1e-5) << c.name;
  }
}

TEST(Training, StagesFollowEachOtherAndResumeBitForBit) {
  const TemporaryFolder folder;
  const std::string stages =
      R"(train.stages=[{"name":"first","steps":4,"objectives":{"lm":1}},{"steps":4,"lr":1e-4,"objectives":{"qa":1},"schedule":"constant"}])";
  const auto whole = trained_after(folder / "whole", {stages, "train.save_interval=3"});
  const auto lines = split(read_file(folder / "whole" / "metrics.jsonl"), '\n');
  EXPECT_EQ(parse_json(lines[3], "metrics").at("stage"), "first");
  EXPECT_EQ(parse_json(lines[4], "metrics").at("stage"), "stage 2");
  // Interrupted after step 6: the newest checkpoint is step 6.
  std::filesystem::create_directories(folder / "broken");
  std::filesystem::copy(folder / "whole", folder / "broken",
                        std::filesystem::copy_options::recursive | std::filesystem::copy_options::overwrite_existing);
  std::filesystem::remove_all(folder / "broken" / "checkpoints" / "step-000008");
  std::filesystem::remove_all(folder / "broken" / "compressor");
  EXPECT_EQ(largest_difference(whole, trained_after(folder / "broken", {stages, "train.save_interval=3"})), 0);
  EXPECT_EQ(losses(folder / "whole"), losses(folder / "broken"));
}

TEST(Training, NonFiniteStepsAreSkippedUpToALimit) {
  const TemporaryFolder folder;
  const std::vector<std::string> wild = {"train.lr=1e30", "train.clip=0", "train.warmup_steps=0"};
  auto strict = wild;
  strict.push_back("train.skip_limit=2");
  const std::string message = error_of([&] { run_training(training_config(folder / "run", strict)); });
  EXPECT_CONTAINS(message, "after 2 skipped steps") << message;
  const auto lines = split(read_file(folder / "run" / "skipped.jsonl"), '\n');
  EXPECT_EQ(parse_json(lines[0], "skipped").at("contexts").size(), 2u);
}

TEST(Training, ACompressorForSeveralRatiosServesEachOfThem) {
  const TemporaryFolder folder;
  for (const char* method : {"pic", "icae", "mean-pool", "comprexit"}) {
    const bool kv = std::string(method) == "pic";
    const Config config =
        training_config(folder / method, {cat("compressor.method=", method), "compressor.ratio=4,8,16",
                                          cat("compressor.carrier=", kv ? "kv" : "embedding"),
                                          cat("compressor.lora.rank=", method == std::string("comprexit") ? 0 : 4),
                                          "compressor.comprexit.window=32"});
    EXPECT_EQ(config.compressor.ratio.values, (std::vector<int64_t>{4, 8, 16}));
    run_training(config);
    const auto tokenizer = letter_tokenizer();
    const auto loaded = load_compressor(folder / method, CompressorRegistry::built_in(), tiny_decoder(), *tokenizer);
    const at::NoGradGuard no_gradient;
    for (const int64_t ratio : {4, 8, 16}) {
      loaded->set_ratio(ratio);
      const Memory memory = loaded->compress(testing::random_contexts({64, 40}));
      EXPECT_EQ(memory.lengths[0].item<int64_t>(), 64 / ratio) << method;
      EXPECT_EQ(memory.origin.ratio, ratio);
    }
    EXPECT_CONTAINS(error_of([&] { loaded->set_ratio(5); }), "4, 8, 16");
  }
}

// One term of the sum against the formula, with all of the teacher's tokens and with five.
TEST(Training, DistillationIsTheDivergenceFromTheFullContext) {
  const auto compressor = testing::make_compressor({"pic", {"compressor.method=pic"}});
  const Decoder& decoder = compressor->decoder();
  const TokenBatch context = testing::random_contexts({20, 9});
  const TaskTokens task = testing::questions(Task::qa, {5, 4}, {0, 1}, true);
  const DecoderInput student = compressor->prompt(compressor->compress(context), task);
  for (const int64_t top_k : {0, 5}) {
    ObjectiveConfig settings;
    settings.distill_temperature = 2;
    settings.distill_top_k = top_k;
    const LossSum loss = distillation_loss(decoder, student, context, task, -1, settings);
    EXPECT_EQ(loss.count, 9.0);
    // By hand, for the last token of the second question: the teacher reads context and question from position 0.
    const TokenBatch whole = token_batch({[&] {
      std::vector<int64_t> ids;
      for (int64_t t = 0; t < 9; ++t) ids.push_back(context.ids[1][t].item<int64_t>());
      for (int64_t t = 0; t < 3; ++t) ids.push_back(task.ids[1][t].item<int64_t>());
      return ids;
    }()});
    const Tensor teacher = decoder.logits(
        decoder.hidden({decoder.embed(whole.ids), whole.lengths, torch::arange(12).unsqueeze(0)})[0][11]);
    const Tensor rows = decoder.hidden(student);
    const Tensor own = decoder.logits(rows[1][student.lengths[1].item<int64_t>() - 1]);
    // All terms but this one from the same input with only this label.
    DecoderInput one = student;
    one.labels = torch::full_like(student.labels, -100);
    one.labels[1][student.lengths[1].item<int64_t>() - 1] = 1;
    TaskTokens last = task;
    last.labels = torch::full_like(task.labels, -100);
    last.labels[1][3] = 1;
    const double term = distillation_loss(decoder, one, context, last, -1, settings).sum.item<double>();
    Tensor p = (teacher / 2), kept = torch::arange(p.size(0));
    if (top_k > 0) std::tie(p, kept) = p.topk(top_k);
    p = p.softmax(0);
    const Tensor q = (own / 2).log_softmax(0).index_select(0, kept);
    EXPECT_NEAR(term, 4 * (p * (p.log() - q)).sum().item<double>(), 1e-4);
  }
}

// The committed losses of ten steps of every method. Update them with PRECIS_WRITE_LOSSES=1 if a change is meant to
// affect them, and give the reason in the commit message.
TEST(Training, TenStepsHaveTheCommittedLosses) {
  const std::filesystem::path file =
      std::filesystem::path(PRECIS_SOURCE_DIR) / "tests" / "data" / "ten_step_losses.json";
  Json found = Json::object();
  for (const auto& c : testing::compressor_cases()) {
    const TemporaryFolder folder;
    auto overrides = c.overrides;
    const CompressorConfig own = CompressorRegistry::built_in().defaults(c.method(), c.form());
    overrides.insert(overrides.begin(), {"compressor.carrier=" + own.carrier, "compressor.projector=" + own.projector});
    overrides.insert(overrides.end(), {"compressor.segment_length=64", "train.objectives.lm=0.5"});
    if (c.method() == "comprexit") overrides.push_back("compressor.lora.rank=0");
    run_training(training_config(folder / "run", overrides));
    Json list = Json::array();
    for (const auto& line : losses(folder / "run")) list.push_back(line[1]);
    found[c.name] = list;
  }
  if (std::getenv("PRECIS_WRITE_LOSSES") != nullptr) write_json(file, found);
  const Json committed = read_json(file);
  ASSERT_EQ(committed.size(), found.size());
  for (const auto& [name, list] : committed.items()) {
    for (size_t i = 0; i < list.size(); ++i)
      EXPECT_NEAR(list[i].get<double>(), found.at(name)[i].get<double>(), 1e-4) << name << " step " << i + 1;
  }
}

// Memory rows with a learning rate of 0.
class StillRows : public MemoryTokens {
 public:
  using MemoryTokens::MemoryTokens;
  double lr_factor(const std::string& tensor) const override { return tensor == "memory_rows" ? 0 : 1; }
};

TEST(Training, AMethodHasLearningRateFactorsOfItsOwn) {
  const TemporaryFolder folder;
  const auto tokenizer = letter_tokenizer();
  const Config config = training_config(folder / "run", {"train.steps=3"});
  StillRows compressor(config.compressor, surroundings_of(tiny_decoder("cpu", 1024), *tokenizer, 3));
  TensorMap before;
  for (const auto& [name, tensor] : trained_tensors(compressor)) before[name] = tensor.detach().clone();
  train(compressor, PassageSet(passages(), *tokenizer, config.data, false), config);
  for (const auto& [name, tensor] : trained_tensors(compressor)) {
    if (name != "memory_rows" && name != "lora.0.q_proj.B") continue;
    EXPECT_EQ(tensor.equal(before[name]), name == "memory_rows") << name;
  }
}

TEST(Training, LearningRateFactorsApplyByTensorName) {
  const TemporaryFolder folder;
  const auto tensors = [&](const char* dir, const std::vector<std::string>& overrides) {
    run_training(training_config(folder / dir, overrides));
    return SafetensorsFile(folder / dir / "compressor" / "compressor.safetensors").tensors();
  };
  const TensorMap start = tensors("start", {"train.steps=0"}), plain = tensors("plain", {}),
                  frozen = tensors("frozen", {R"(train.lr_factors=[{"tensors":"lora","factor":0}])"}),
                  same = tensors("same",
                                 {R"(train.lr_factors=[{"tensors":"lora","factor":0},{"tensors":"lora","factor":1}])"});
  for (const auto& [name, tensor] : start) {
    if (name.starts_with("lora")) {
      EXPECT_TRUE(frozen.at(name).equal(tensor)) << name;
    }
    EXPECT_TRUE(same.at(name).equal(plain.at(name))) << name;
  }
  EXPECT_FALSE(frozen.at("memory_rows").equal(start.at("memory_rows")));
  EXPECT_FALSE(plain.begin()->second.equal(start.begin()->second));
  const std::string message = error_of([&] { tensors("none", {R"(train.lr_factors=[{"tensors":"rows"}])"}); });
  EXPECT_CONTAINS(message, "memory_rows") << message;
}

TEST(Training, AStageMayHaveShorterContextsThanTheOthers) {
  const Config config = training_config(
      "unused", {R"(train.stages=[{"steps":1,"max_context_tokens":40},{"steps":2,"min_context_tokens":7}])",
                 "data.max_context_tokens=400", "data.min_context_tokens=3"});
  const auto stages = stages_of(config);
  EXPECT_EQ(stages[0].max_context_tokens, 40);
  EXPECT_EQ(stages[0].min_context_tokens, 3);
  EXPECT_EQ(stages[1].max_context_tokens, 400);
  EXPECT_EQ(stages[1].min_context_tokens, 7);
}

TEST(Schedule, WarmsUpAndDecays) {
  StageConfig t;
  t.lr = 1;
  t.warmup_steps = 10;
  t.schedule = "cosine";
  EXPECT_NEAR(learning_rate(t, 0, 0, 0), 0.1, 1e-12);
  EXPECT_NEAR(learning_rate(t, 0, 20, 0.5), 0.5, 1e-12);
  EXPECT_NEAR(learning_rate(t, 0, 20, 1), 0, 1e-12);
  t.schedule = "linear";
  EXPECT_NEAR(learning_rate(t, 0, 20, 0.25), 0.75, 1e-12);
}

TEST(Optimizer, OneStepEqualsTheFormula) {
  TrainConfig t;
  t.weight_decay = 0.1;
  const Tensor p = torch::tensor({1.0f, -2.0f}).requires_grad_();
  AdamW optimizer({{"p", p}}, t);
  p.mutable_grad() = torch::tensor({0.5f, -0.25f});
  optimizer.step(0.01);
  // After one step m / (1 - beta1) is the gradient and sqrt(v / (1 - beta2)) its magnitude.
  EXPECT_NEAR(p[0].item<float>(), 1.0 * (1 - 0.001) - 0.01, 1e-5);
  EXPECT_NEAR(p[1].item<float>(), -2.0 * (1 - 0.001) + 0.01, 1e-5);
}

}  // namespace
}  // namespace precis

#include "precis/train/pretrain.h"

#include <ATen/CPUGeneratorImpl.h>
#include <torch/torch.h>

#include <chrono>
#include <cmath>

#include "precis/compress/memory.h"
#include "precis/core/error.h"
#include "precis/core/file.h"
#include "precis/core/interrupt.h"
#include "precis/core/log.h"
#include "precis/core/progress.h"
#include "precis/core/random.h"
#include "precis/core/strings.h"
#include "precis/data/synth.h"
#include "precis/model/decoder.h"
#include "precis/text/tokenizer.h"
#include "precis/text/train_sentencepiece.h"
#include "precis/train/adamw.h"
#include "precis/weights/checkpoint.h"

namespace precis {
namespace fs = std::filesystem;
namespace {

// Tensors in memory as a checkpoint: a decoder built around them is differentiable in them.
class TensorsInMemory : public Checkpoint {
 public:
  explicit TensorsInMemory(const TensorMap& tensors) : tensors_(tensors) {}
  bool has(const std::string& name) const override { return tensors_.count(name) > 0; }
  Tensor tensor(const std::string& name) const override { return tensors_.at(name); }
  std::set<std::string> names() const override {
    std::set<std::string> out;
    for (const auto& [name, tensor] : tensors_) out.insert(name);
    return out;
  }
  std::string fingerprint() const override { return ""; }
  std::string path() const override { return "a decoder in training"; }

 private:
  const TensorMap& tensors_;
};

Json model_config(const PretrainOptions& o, int64_t eos_id) {
  return {{"architectures", {"LlamaForCausalLM"}},
          {"model_type", "llama"},
          {"hidden_act", "silu"},
          {"hidden_size", o.hidden},
          {"intermediate_size", o.intermediate},
          {"num_hidden_layers", o.layers},
          {"num_attention_heads", o.heads},
          {"num_key_value_heads", o.kv_heads},
          {"head_dim", o.hidden / o.heads},
          {"vocab_size", o.vocabulary},
          {"max_position_embeddings", 1024},
          {"rms_norm_eps", 1e-5},
          {"rope_theta", 10000.0},
          {"tie_word_embeddings", true},
          {"torch_dtype", "float32"},
          {"eos_token_id", eos_id}};
}

// Initial values as Llama's: N(0, 0.02), products that write to the residual stream smaller; RMSNorm gains 1.
TensorMap initial_tensors(const DecoderConfig& c, uint64_t seed) {
  const at::Generator generator = at::detail::createCPUGenerator(seed);
  TensorMap out;
  const auto add = [&](const std::string& name, std::vector<int64_t> shape, double deviation) {
    out[name] = torch::empty(shape).normal_(0, deviation, generator);
  };
  const int64_t q = c.heads * c.head_dim, kv = c.kv_heads * c.head_dim;
  const double small = 0.02 / std::sqrt(2 * static_cast<double>(c.layers));
  add("model.embed_tokens.weight", {c.vocabulary, c.hidden}, 0.02);
  out["model.norm.weight"] = torch::ones({c.hidden});
  for (int64_t i = 0; i < c.layers; ++i) {
    const std::string p = cat("model.layers.", i, ".");
    out[p + "input_layernorm.weight"] = torch::ones({c.hidden});
    out[p + "post_attention_layernorm.weight"] = torch::ones({c.hidden});
    add(p + "self_attn.q_proj.weight", {q, c.hidden}, 0.02);
    add(p + "self_attn.k_proj.weight", {kv, c.hidden}, 0.02);
    add(p + "self_attn.v_proj.weight", {kv, c.hidden}, 0.02);
    add(p + "self_attn.o_proj.weight", {c.hidden, q}, small);
    add(p + "mlp.gate_proj.weight", {c.intermediate, c.hidden}, 0.02);
    add(p + "mlp.up_proj.weight", {c.intermediate, c.hidden}, 0.02);
    add(p + "mlp.down_proj.weight", {c.hidden, c.intermediate}, small);
  }
  return out;
}

// Text `index` of the endless stream: passages, then questions with answers; both stocks of invented names in turn.
Passage passage_of(const PretrainOptions& o, int64_t index) {
  const SynthOptions synth{.questions = o.questions,
                           .entities = Random(o.seed, "entities", static_cast<uint64_t>(index)).between(1, o.entities),
                           .seed = o.seed + 1000003,
                           .split = index % 2 == 0 ? "train" : "eval"};
  return synth_passage(synth, index);
}

// With the shape of the decoder that the training starts from.
PretrainOptions with_shape(PretrainOptions o) {
  if (o.start_from.empty()) return o;
  const fs::path file = fs::path(o.start_from) / "training.json";
  if (!fs::exists(file)) {
    throw Error({.what = "no decoder that precis pretrain has finished",
                 .where = o.start_from,
                 .expected = "a folder with training.json"});
  }
  const Json made = json_get<Json>(read_json(file), "options", file.string());
  for (auto& [key, value] : {std::pair{"hidden", &o.hidden},
                             {"layers", &o.layers},
                             {"heads", &o.heads},
                             {"kv_heads", &o.kv_heads},
                             {"intermediate", &o.intermediate},
                             {"vocabulary", &o.vocabulary}})
    *value = json_get<int64_t>(made, key, file.string());
  return o;
}

class Pretraining {
 public:
  Pretraining(const PretrainOptions& options, const fs::path& folder) : o_(with_shape(options)), folder_(folder) {
    if (o_.hidden % o_.heads != 0 || o_.heads % o_.kv_heads != 0) {
      throw Error({.what = "heads do not divide the width",
                   .where = "pretrain",
                   .expected = "--heads divides --hidden, --kv-heads divides --heads",
                   .found = cat(o_.hidden, ", ", o_.heads, ", ", o_.kv_heads)});
    }
    make_folder(folder_);
    lock_ = std::make_unique<FolderLock>(folder_);
  }

  Json run() {
    if (fs::exists(folder_ / "training.json")) return finished();
    write_tokenizer();
    config_ = decoder_config_from_hugging_face(model_config(o_, tokenizer_->eos_id), "pretrain");
    tensors_ = initial_tensors(config_, o_.seed);
    if (!o_.start_from.empty()) {
      const auto start = open_hugging_face_checkpoint(o_.start_from);
      for (auto& [name, tensor] : tensors_) tensor = start->tensor(name, tensor.sizes()).to(torch::kFloat).clone();
    }
    TensorMap trained;
    for (auto& [name, tensor] : tensors_) {
      if (tensor.dim() == 2) trained[name] = tensor.requires_grad_();
    }
    TrainConfig settings;
    settings.weight_decay = 0.01;
    AdamW optimizer(trained, settings);
    resume(trained, optimizer);
    Progress progress("pretrain", static_cast<double>(o_.steps), "steps");
    log::info(cat("pretraining ", config_.parameters(), " parameters, ", o_.steps, " steps"));
    while (step_ < o_.steps) {
      one_step(optimizer);
      progress.update(static_cast<double>(step_), cat("loss ", fixed(last_loss_, 3)));
      if (step_ % o_.save_interval == 0 || interrupted()) save(trained, optimizer);
      if (interrupted())
        throw Error({.what = cat("interrupted; saved at step ", step_),
                     .where = folder_.string(),
                     .hint = "run the same command again to go on"},
                    Error::Kind::interrupted);
    }
    return finish();
  }

 private:
  Json finished() const {
    Json training = read_json(folder_ / "training.json");
    if (training.at("options") == to_json(o_)) return training;
    throw Error({.what = "the folder holds a decoder with other options",
                 .where = (folder_ / "training.json").string(),
                 .expected = to_json(o_).dump(),
                 .found = training.at("options").dump()});
  }

  void write_tokenizer() {
    write_file_atomically(folder_ / "tokenizer.model", o_.start_from.empty()
                                                           ? trained_tokenizer()
                                                           : read_file(fs::path(o_.start_from) / "tokenizer.model"));
    write_json(
        folder_ / "tokenizer_config.json",
        {{"tokenizer_class", "LlamaTokenizer"}, {"bos_token", "<s>"}, {"eos_token", "</s>"}, {"add_bos_token", true}});
    tokenizer_ = load_tokenizer(folder_ / "tokenizer.model");
    write_json(folder_ / "generation_config.json",
               {{"bos_token_id", tokenizer_->bos_id}, {"eos_token_id", tokenizer_->eos_id}});
    write_json(folder_ / "config.json", model_config(o_, tokenizer_->eos_id));
  }

  std::string trained_tokenizer() const {
    std::vector<std::string> texts;
    for (int64_t i = 0; i < 4000; ++i) {
      const Passage passage = passage_of(o_, i);
      texts.push_back(passage.context);
      for (const auto& question : passage.questions)
        texts.push_back(cat("\nQuestion: ", question.text, "\nAnswer: ", question.answers[0]));
    }
    return train_sentencepiece(texts, o_.vocabulary);
  }

  // Rows of tokens, what each has to predict, and how much that weighs.
  struct Batch {
    TokenBatch tokens;
    Tensor targets, weights;
  };
  Batch batch() const {
    std::vector<TokenIds> ids, targets;
    std::vector<std::vector<float>> weights;
    for (int64_t b = 0; b < o_.batch; ++b) {
      const Passage passage = passage_of(o_, step_ * o_.batch + b);
      TokenIds row = {tokenizer_->bos_id};
      std::vector<float> weight = {1};
      const auto add = [&](const TokenIds& more, double w) {
        row.insert(row.end(), more.begin(), more.end());
        weight.insert(weight.end(), more.size(), static_cast<float>(w));
      };
      add(tokenizer_->encode(passage.context), 1);
      for (const auto& question : passage.questions) {
        add(tokenizer_->encode(cat("\nQuestion: ", question.text, "\nAnswer:")), 1);
        add(tokenizer_->encode(" " + question.answers[0]), o_.answer_weight);
        add(tokenizer_->encode("\n"), o_.answer_weight);
      }
      add({tokenizer_->eos_id}, 1);
      targets.emplace_back(row.begin() + 1, row.end());
      row.pop_back();
      ids.push_back(std::move(row));
      weights.emplace_back(weight.begin() + 1, weight.end());
    }
    Batch out{token_batch(ids), token_batch(targets).ids, {}};
    out.weights = torch::zeros(out.targets.sizes());
    for (size_t b = 0; b < weights.size(); ++b) {
      const auto n = static_cast<int64_t>(weights[b].size());
      out.weights[static_cast<int64_t>(b)].narrow(0, 0, n).copy_(torch::tensor(weights[b]));
    }
    return out;
  }

  void one_step(AdamW& optimizer) {
    const Batch b = batch();
    const Decoder decoder(config_, TensorsInMemory(tensors_), torch::kFloat, torch::kCPU);
    const Tensor positions = torch::arange(b.tokens.ids.size(1)).unsqueeze(0).expand_as(b.tokens.ids);
    const Tensor logits = decoder.logits(decoder.hidden({decoder.embed(b.tokens.ids), b.tokens.lengths, positions}));
    const Tensor losses =
        torch::nn::functional::cross_entropy(logits.flatten(0, 1), b.targets.flatten(),
                                             torch::nn::functional::CrossEntropyFuncOptions().reduction(torch::kNone));
    const Tensor weights = b.weights.flatten();
    const Tensor loss = (losses * weights).sum() / weights.sum();
    optimizer.zero_gradients();
    loss.backward();
    optimizer.clip_gradients(1);
    const StageConfig schedule{.schedule = "cosine", .warmup_steps = o_.warmup_steps, .lr = o_.learning_rate};
    optimizer.step(learning_rate(schedule, 0.05, step_, static_cast<double>(step_) / static_cast<double>(o_.steps)));
    ++step_;
    last_loss_ = loss.item<double>();
    const torch::NoGradGuard no_gradient;
    const Tensor answers = weights.gt(1);
    answer_loss_ += losses.masked_select(answers).mean().item<double>();
    answer_accuracy_ += logits.flatten(0, 1)
                            .argmax(1)
                            .eq(b.targets.flatten())
                            .masked_select(answers)
                            .to(torch::kFloat)
                            .mean()
                            .item<double>();
    if (step_ % o_.log_interval != 0) return;
    const auto n = static_cast<double>(o_.log_interval);
    curve_.push_back({{"step", step_},
                      {"loss", last_loss_},
                      {"answer_loss", answer_loss_ / n},
                      {"answer_token_accuracy", answer_accuracy_ / n}});
    log::info(cat("step ", step_, ": loss ", fixed(last_loss_, 3), ", of answers ", fixed(answer_loss_ / n, 3),
                  ", answer tokens right ", fixed(100 * answer_accuracy_ / n, 1), " %"));
    answer_loss_ = answer_accuracy_ = 0;
  }

  void save(const TensorMap& trained, const AdamW& optimizer) const {
    const fs::path state = folder_ / "state";
    fs::remove_all(folder_ / "state-before");
    if (fs::exists(state)) fs::rename(state, folder_ / "state-before");
    write_folder_atomically(state, [&](const fs::path& to) {
      write_safetensors(to / "weights.safetensors", trained);
      write_safetensors(to / "optimizer.safetensors", optimizer.state());
      write_json(to / "state.json", {{"step", step_},
                                     {"options", to_json(o_)},
                                     {"curve", curve_},
                                     {"answer_loss", answer_loss_},
                                     {"answer_accuracy", answer_accuracy_}});
    });
    fs::remove_all(folder_ / "state-before");
  }

  void resume(TensorMap& trained, AdamW& optimizer) {
    fs::path state = folder_ / "state";
    if (!fs::exists(state)) state = folder_ / "state-before";
    if (!fs::exists(state / "state.json")) return;
    const Json json = read_json(state / "state.json");
    if (json.at("options") != to_json(o_)) {
      throw Error({.what = "the folder holds a training with other options",
                   .where = (state / "state.json").string(),
                   .expected = to_json(o_).dump(),
                   .found = json.at("options").dump()});
    }
    const torch::NoGradGuard no_gradient;
    const SafetensorsFile weights(state / "weights.safetensors");
    for (auto& [name, tensor] : trained) tensor.copy_(weights.tensor(name));
    optimizer.load_state(SafetensorsFile(state / "optimizer.safetensors").tensors(), state.string());
    step_ = json.at("step");
    curve_ = json.at("curve");
    answer_loss_ = json.at("answer_loss");
    answer_accuracy_ = json.at("answer_accuracy");
    log::info(cat("going on from step ", step_));
  }

  Json finish() const {
    TensorMap halves;  // 16 bits are enough for what it is for, and half the size
    for (const auto& [name, tensor] : tensors_) halves[name] = tensor.detach().to(torch::kBFloat16);
    write_safetensors(folder_ / "model.safetensors", halves, {{"format", "pt"}});
    const Json training = {{"options", to_json(o_)}, {"parameters", config_.parameters()}, {"curve", curve_}};
    write_json(folder_ / "training.json", training);
    fs::remove_all(folder_ / "state");
    return training;
  }

  const PretrainOptions o_;
  fs::path folder_;
  std::unique_ptr<FolderLock> lock_;
  std::unique_ptr<Tokenizer> tokenizer_;
  DecoderConfig config_;
  TensorMap tensors_;
  Json curve_ = Json::array();
  int64_t step_ = 0;
  double last_loss_ = 0, answer_loss_ = 0, answer_accuracy_ = 0;
};

}  // namespace

Json to_json(const PretrainOptions& o) {
  Json out = {{"hidden", o.hidden},
              {"layers", o.layers},
              {"heads", o.heads},
              {"kv_heads", o.kv_heads},
              {"intermediate", o.intermediate},
              {"vocabulary", o.vocabulary},
              {"steps", o.steps},
              {"batch", o.batch},
              {"warmup_steps", o.warmup_steps},
              {"questions", o.questions},
              {"learning_rate", o.learning_rate},
              {"answer_weight", o.answer_weight},
              {"seed", o.seed}};
  if (o.entities != 1) out["entities"] = o.entities;  // absent from folders made before they were options
  if (!o.start_from.empty()) out["start_from"] = o.start_from;
  return out;
}

Json pretrain(const PretrainOptions& options, const fs::path& folder) { return Pretraining(options, folder).run(); }

}  // namespace precis

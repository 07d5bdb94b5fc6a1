#include "precis/train/pretrain.h"

#include <cmath>

#include "decoder_learner.h"
#include "precis/core/error.h"
#include "precis/core/file.h"
#include "precis/core/log.h"
#include "precis/core/strings.h"
#include "precis/data/pretraining_set.h"
#include "precis/text/train_sentencepiece.h"
#include "precis/train/trainer.h"

namespace precis {
namespace fs = std::filesystem;
namespace {

constexpr int64_t held_out_contexts = 64;

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

// The options with the shape of the decoder in start_from.
PretrainOptions with_shape(PretrainOptions o) {
  if (o.start_from.empty()) return o;
  const fs::path file = fs::path(o.start_from) / "training.json";
  if (!fs::exists(file)) {
    throw Error({.what = "not a decoder made by precis pretrain",
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

void check_options(const PretrainOptions& o) {
  if (o.hidden % o.heads != 0 || o.heads % o.kv_heads != 0) {
    throw Error({.what = "the numbers of heads do not divide the hidden size",
                 .where = "pretrain",
                 .expected = "--heads divides --hidden, --kv-heads divides --heads",
                 .found = cat(o.hidden, ", ", o.heads, ", ", o.kv_heads)});
  }
  if (o.corpus.empty() != o.tokenizer.empty() || (o.corpus.empty() && !o.held_out.empty())) {
    throw Error({.what = "a corpus needs the tokenizer it was prepared with",
                 .where = "pretrain",
                 .expected = "--corpus and --tokenizer, both or neither; --held-out with them"});
  }
}

PretrainingPassages::Options passage_options(const PretrainOptions& o) {
  return {.contexts = o.steps * o.batch,
          .questions = o.questions,
          .entities = o.entities,
          .answer_weight = o.answer_weight,
          .seed = o.seed};
}

// The bytes of tokenizer.model.
std::string tokenizer_of(const PretrainOptions& o) {
  if (!o.tokenizer.empty()) {
    const fs::path path(o.tokenizer);
    return read_file(fs::is_directory(path) ? path / "tokenizer.model" : path);
  }
  if (!o.start_from.empty()) return read_file(fs::path(o.start_from) / "tokenizer.model");
  std::vector<std::string> texts;
  for (int64_t i = 0; i < 4000; ++i) {
    const Passage passage = PretrainingPassages::passage(passage_options(o), i);
    texts.push_back(passage.context);
    for (const auto& question : passage.questions)
      texts.push_back(cat("\nQuestion: ", question.text, "\nAnswer: ", question.answers[0]));
  }
  return train_sentencepiece(texts, o.vocabulary);
}

// The trainer's configuration of the run.
Config training_config(const PretrainOptions& o, const fs::path& run) {
  Config c;
  c.model.dtype = o.dtype;
  c.data.train = {o.corpus};
  c.data.max_context_tokens = o.context;
  c.train.objectives = {.lm = 1, .qa = 0};
  c.train.steps = o.steps;
  c.train.batch = o.batch;
  c.train.lr = o.learning_rate;
  c.train.warmup_steps = o.warmup_steps;
  c.train.final_lr_share = 0.05;
  c.train.weight_decay = 0.01;
  c.train.save_interval = o.save_interval;
  c.train.log_interval = o.log_interval;
  c.train.eval_interval = o.eval_interval;
  c.train.keep = 1;
  c.run.dir = run.string();
  c.run.seed = static_cast<int64_t>(o.seed);
  return c;
}

class Pretraining {
 public:
  Pretraining(const PretrainOptions& options, const fs::path& folder, const ProcessGroup& group)
      : o_(with_shape(options)), folder_(folder), group_(group) {
    check_options(o_);
    if (!group_.leads()) return;
    make_folder(folder_);
    lock_ = std::make_unique<FolderLock>(folder_);
  }

  Json run() {
    const bool is_finished =
        group_.copy_from_first(std::string(fs::exists(folder_ / "training.json") ? "yes" : "no")) == "yes";
    if (is_finished) return finished();
    if (group_.leads()) write_tokenizer();
    group_.copy_from_first(std::string("the tokenizer is written"));
    tokenizer_ = load_tokenizer(folder_ / "tokenizer.model");
    if (!o_.corpus.empty()) o_.vocabulary = tokenizer_->vocabulary_size();
    const Config config = training_config(o_, folder_ / "training");
    const std::unique_ptr<Checkpoint> start =
        o_.start_from.empty() ? nullptr : open_hugging_face_checkpoint(o_.start_from);
    DecoderLearner learner(
        decoder_config_from_hugging_face(model_config(o_, tokenizer_->eos_id), "pretrain"), o_.seed, start.get(),
        resolve_dtype(o_.dtype, torch::kCPU), [this](const DecoderLearner& trained) { write(trained); },
        folder_ / "training.json");
    train(
        learner, {{stages_of(config).front(), training_set()}}, config, [&] { return measure(learner); }, group_);
    group_.copy_from_first(std::string("the decoder is written"));
    const Json training = read_json(folder_ / "training.json");
    if (group_.leads()) fs::remove_all(folder_ / "training");
    return training;
  }

 private:
  Json finished() const {
    Json training = read_json(folder_ / "training.json");
    PretrainOptions own = o_;
    if (!own.corpus.empty()) own.vocabulary = json_get<int64_t>(training.at("options"), "vocabulary", "training.json");
    if (group_.leads()) fs::remove_all(folder_ / "training");
    if (training.at("options") == to_json(own)) return training;
    throw Error({.what = "the folder holds a decoder with other options",
                 .where = (folder_ / "training.json").string(),
                 .expected = to_json(own).dump(),
                 .found = training.at("options").dump()});
  }

  // Also checks the options against those of an earlier start; the trainer checks its own configuration.
  void write_tokenizer() const {
    const fs::path file = folder_ / "training-options.json";
    if (fs::exists(file) && read_json(file) != to_json(o_)) {
      throw Error({.what = "the folder holds a training with other options",
                   .where = file.string(),
                   .expected = to_json(o_).dump(),
                   .found = read_json(file).dump()});
    }
    write_json(file, to_json(o_));
    write_sentencepiece_folder(folder_, tokenizer_of(o_));
  }

  std::shared_ptr<const TrainingSet> training_set() const {
    if (o_.corpus.empty()) return std::make_shared<PretrainingPassages>(passage_options(o_), *tokenizer_);
    return std::make_shared<PretrainingWindows>(o_.corpus, *tokenizer_, o_.context);
  }

  // Scores answer tokens of passages after the training ones, or all tokens of the held-out corpus.
  Json measure(const DecoderLearner& learner) const {
    DecoderLearner::Scores sum;
    const auto add = [&](const TrainingSet& set, int64_t first, int64_t count) {
      for (int64_t i = 0; i < count; i += o_.batch) {
        const DecoderLearner::Scores s =
            learner.scores(set.in_order(Task::lm, first + i, std::min(o_.batch, count - i)));
        sum = {sum.loss + s.loss, sum.right + s.right, sum.count + s.count};
      }
    };
    if (o_.corpus.empty()) {
      add(PretrainingPassages(passage_options(o_), *tokenizer_), o_.steps * o_.batch, held_out_contexts);
      return {{"answer_loss", sum.loss / sum.count}, {"answer_token_accuracy_percent", 100 * sum.right / sum.count}};
    }
    if (o_.held_out.empty()) return Json::object();
    const PretrainingWindows held_out(o_.held_out, *tokenizer_, o_.context);
    add(held_out, 0, std::min(held_out_contexts, held_out.size()));
    return {{"held_out_loss", sum.loss / sum.count},
            {"held_out_perplexity", std::exp(sum.loss / sum.count)},
            {"token_accuracy_percent", 100 * sum.right / sum.count}};
  }

  // Writes the Hugging Face folder; training.json last, to mark it as complete.
  void write(const DecoderLearner& learner) const {
    TensorMap halves;  // bf16 is precise enough, at half the size
    for (const auto& [name, tensor] : learner.all_tensors()) halves[name] = tensor.detach().to(torch::kBFloat16);
    write_safetensors(folder_ / "model.safetensors", halves, {{"format", "pt"}});
    write_json(folder_ / "config.json", model_config(o_, tokenizer_->eos_id));
    write_json(folder_ / "generation_config.json",
               {{"bos_token_id", tokenizer_->bos_id}, {"eos_token_id", tokenizer_->eos_id}});
    Json curve = Json::array();
    for (const auto& line : split(read_file(folder_ / "training" / "metrics.jsonl"), '\n')) {
      const Json json = Json::parse(line, nullptr, false);
      if (!json.is_object()) continue;
      Json kept;
      for (const char* key : {"step", "loss", "train_seconds", "answer_loss", "answer_token_accuracy_percent",
                              "held_out_loss", "held_out_perplexity", "token_accuracy_percent"}) {
        if (json.contains(key)) kept[key] = json.at(key);
      }
      curve.push_back(kept);
    }
    fs::remove(folder_ / "training-options.json");
    write_json(folder_ / "training.json",
               {{"options", to_json(o_)}, {"parameters", learner.decoder().config().parameters()}, {"curve", curve}});
  }

  PretrainOptions o_;
  fs::path folder_;
  const ProcessGroup& group_;
  std::unique_ptr<FolderLock> lock_;
  std::unique_ptr<Tokenizer> tokenizer_;
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
              {"learning_rate", o.learning_rate},
              {"seed", o.seed}};
  if (o.corpus.empty()) {
    out["questions"] = o.questions;
    out["answer_weight"] = o.answer_weight;
    if (o.entities != 1) out["entities"] = o.entities;  // absent in older folders
  } else {
    out["corpus"] = o.corpus;
    out["context"] = o.context;
  }
  if (o.dtype != "float32") out["dtype"] = o.dtype;
  if (!o.start_from.empty()) out["start_from"] = o.start_from;
  return out;
}

Json pretrain(const PretrainOptions& options, const fs::path& folder, const ProcessGroup& group) {
  return Pretraining(options, folder, group).run();
}

}  // namespace precis

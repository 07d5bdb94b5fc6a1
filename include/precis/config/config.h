// The one configuration tree. Every struct names its fields once, in `visit`; parsing, validation, printing, the
// JSON Schema and docs/config.md are visitors over that one list (config/schema.h).
#pragma once

#include "precis/config/compressor_config.h"

namespace precis {

struct ModelConfig {
  std::string path, shape, dtype = "auto", decode_dtype = "same", device = "cpu";
  template <class V>
  void visit(V& v) {
    v("path", path, "the frozen decoder: a Hugging Face folder or a GGUF file");
    v("shape", shape, "its config.json, for train --dry-run where its weights are not there");
    v("dtype", dtype, "how its weights are kept; auto takes bfloat16 where the processor multiplies it natively",
      one_of({"auto", "float32", "bfloat16"}));
    v("decode_dtype", decode_dtype,
      "the weights that decoding token by token on the CPU reads, which bounds it; bfloat16: a copy of its own, half "
      "the bytes of float32",
      one_of({"same", "bfloat16"}));
    v("device", device, "where it runs", one_of({"cpu", "cuda"}));
  }
};

struct TokenizerConfig {
  std::string path;
  template <class V>
  void visit(V& v) {
    v("path", path, "a tokenizer file or folder; empty: the model's own");
  }
};

struct DataConfig {
  std::vector<std::string> train, eval;
  std::string context_template = "{context}",
              query_template = "\nQuestion: {question}\nAnswer:", answer_template = " {answer}", answer_end = "eos";
  int64_t questions_per_context = 3, max_context_tokens = 512, min_context_tokens = 0, max_task_tokens = 128,
          continuation_tokens = 64;
  template <class V>
  void visit(V& v) {
    v("train", train, "training sets: SQuAD JSON or MRQA jsonl(.gz), or folders made by precis prepare");
    v("eval", eval, "evaluation sets, same formats; of a prepared folder, contexts at even distances");
    v("context_template", context_template, "the text that is compressed");
    v("query_template", query_template, "what follows the memory");
    v("answer_template", answer_template, "the supervised answer");
    v("answer_end", answer_end, "what ends an answer in training", one_of({"eos", "newline"}));
    v("questions_per_context", questions_per_context, "questions that share one compressed context in a training batch",
      at_least(1));
    v("max_context_tokens", max_context_tokens,
      "longer contexts are left out of training; contexts cut from a prepared corpus are this long", at_least(1));
    v("min_context_tokens", min_context_tokens,
      "of a prepared corpus: each batch's length is drawn between this and the maximum; 0: always the maximum",
      at_least(0));
    v("max_task_tokens", max_task_tokens, "longer query + answer pairs are left out of training", at_least(2));
    v("continuation_tokens", continuation_tokens,
      "target of the lm objective: the last tokens of a context, or those behind it in a prepared corpus", at_least(1));
  }
};

struct ObjectiveConfig {
  double ae = 0, lm = 0, qa = 1, distill = 0, distill_temperature = 1;
  int64_t distill_top_k = 0;
  std::string mix = "joint", distill_task = "qa";
  template <class V>
  void visit(V& v) {
    v("ae", ae, "weight of reconstruction", at_least(0));
    v("lm", lm, "weight of continuation", at_least(0));
    v("qa", qa, "weight of question answering", at_least(0));
    v("distill", distill,
      "weight of distillation: KL divergence between the decoder's distributions with the full context and with memory",
      at_least(0));
    v("distill_task", distill_task, "where both are compared: at the tokens of answers, or of continuations",
      one_of({"qa", "lm"}));
    v("distill_temperature", distill_temperature, "both distributions are softened by this", at_least(1e-3));
    v("distill_top_k", distill_top_k, "only the teacher's k likeliest tokens, renormalised; 0: all", at_least(0));
    v("mix", mix, "all objectives in every batch, or one drawn per batch", one_of({"joint", "sample"}));
  }
};

// A factor on the learning rate of some of the trained tensors.
struct LrFactorConfig {
  std::string tensors;
  double factor = 1;
  template <class V>
  void visit(V& v) {
    v("tensors", tensors, "tensors whose names begin with this: lora, memory_rows, projector, ...");
    v("factor", factor, "their learning rate as a share of the others'", at_least(0));
  }
};

// A stage of training; what it leaves out it takes from `train`.
struct StageConfig {
  std::string name, schedule;
  int64_t steps = 0, warmup_steps = -1, min_context_tokens = -1, max_context_tokens = 0;
  double lr = 0;
  ObjectiveConfig objectives{.qa = 0};
  std::vector<std::string> data;
  template <class V>
  void visit(V& v) {
    v("name", name, "shown in the log");
    v("steps", steps, "optimiser steps of this stage", at_least(0));
    v("objectives", objectives, "what is learned; all weights 0: train.objectives");
    v("lr", lr, "peak learning rate; 0: train.lr", at_least(0));
    v("schedule", schedule, "empty: train.schedule", one_of({"", "constant", "linear", "cosine"}));
    v("warmup_steps", warmup_steps, "-1: train.warmup_steps", at_least(-1));
    v("data", data, "training sets of this stage; empty: data.train");
    v("min_context_tokens", min_context_tokens, "-1: data.min_context_tokens", at_least(-1));
    v("max_context_tokens", max_context_tokens, "0: data.max_context_tokens; shorter ones first are a curriculum",
      at_least(0));
  }
};

struct TrainConfig {
  ObjectiveConfig objectives;
  std::vector<StageConfig> stages;
  std::vector<LrFactorConfig> lr_factors;
  int64_t micro_batch = 0, skip_limit = 10;
  bool recompute = false;
  double target_em = 0;
  std::string keep_best;
  std::vector<std::string> allow_changes, eval_tasks = {"qa"};
  int64_t steps = 1000, batch = 4, warmup_steps = 20, log_interval = 10, save_interval = 200, eval_interval = 0,
          eval_limit = 60, keep = 2;
  double max_seconds = 0, eval_seconds = 0, lr = 5e-4, final_lr_share = 0.1, weight_decay = 0, beta1 = 0.9,
         beta2 = 0.999, epsilon = 1e-8, clip = 1;
  std::string schedule = "cosine", start_from;
  template <class V>
  void visit(V& v) {
    v("objectives", objectives, "what is learned");
    v("stages", stages, "stages one after the other, each with fresh optimiser moments; empty: one, of train.steps");
    v("start_from", start_from, "run folder or exported compressor whose tensors a new run starts with");
    v("steps", steps, "optimiser steps", at_least(0));
    v("max_seconds", max_seconds, "stop after this many seconds of training, evaluations not counted; 0: no limit",
      at_least(0));
    v("batch", batch, "contexts a step, over all processes", at_least(1));
    v("micro_batch", micro_batch, "contexts that go through the model at once, gradients added up; 0: all",
      at_least(0));
    v("recompute", recompute,
      "layers keep their inputs only and are run again in the backward pass: less memory, a forward pass more");
    v("skip_limit", skip_limit, "steps whose loss or gradient is not finite are left out, at most this many",
      at_least(0));
    v("target_em", target_em, "stop once an evaluation reaches this exact match; 0: never", between(0, 100));
    v("keep_best", keep_best, "keep the checkpoint that is best by this score of the evaluations too",
      one_of({"", "em_percent", "f1_percent"}));
    v("allow_changes", allow_changes, "settings (key paths) that may differ from those of the run that is resumed");
    v("lr", lr, "peak learning rate", at_least(0));
    v("lr_factors", lr_factors, "factors on it by tensor name; of several that fit, the last counts");
    v("schedule", schedule, "after warm-up", one_of({"constant", "linear", "cosine"}));
    v("final_lr_share", final_lr_share, "learning rate at the end, as a share of the peak", between(0, 1));
    v("warmup_steps", warmup_steps, "steps of linear warm-up", at_least(0));
    v("weight_decay", weight_decay, "decoupled weight decay of AdamW", at_least(0));
    v("beta1", beta1, "AdamW's first decay rate", between(0, 0.999999));
    v("beta2", beta2, "AdamW's second decay rate", between(0, 0.9999999));
    v("epsilon", epsilon, "AdamW's epsilon", at_least(0));
    v("clip", clip, "largest gradient norm; 0: no clipping", at_least(0));
    v("log_interval", log_interval, "steps between lines of metrics.jsonl", at_least(1));
    v("save_interval", save_interval, "steps between checkpoints", at_least(1));
    v("keep", keep, "checkpoints kept", at_least(1));
    v("eval_interval", eval_interval, "steps between evaluations; 0: none by steps", at_least(0));
    v("eval_seconds", eval_seconds, "seconds of training between evaluations; 0: none by time", at_least(0));
    v("eval_limit", eval_limit, "questions (of a prepared corpus: contexts) of a periodic evaluation", at_least(1));
    v("eval_tasks", eval_tasks, "what a periodic evaluation asks",
      one_of({"qa", "choice", "continuation", "autoencoding", "reconstruction"}));
  }
};

// A prompt of the uncompressed references; "{context}" and "{question}" are filled in.
struct PromptConfig {
  std::string name = "plain", with_context = "Context: {context}\nQuestion: {question}\nAnswer:",
              without_context = "Question: {question}\nAnswer:";
  template <class V>
  void visit(V& v) {
    v("name", name, "shown in the report beside each row that used it");
    v("with_context", with_context, "prompt of full and truncate");
    v("without_context", without_context, "prompt of none");
  }
};

struct EvalConfig {
  std::vector<std::string> compressors, tasks = {"qa"}, references = {"full", "none", "truncate"}, options;
  int64_t limit = 0, batch = 8, max_new_tokens = 24, truncate_ratio = 0, bootstrap_samples = 1000;
  std::string answer_cut = "newline";
  double target_em = 0;
  PromptConfig prompt;
  template <class V>
  void visit(V& v) {
    v("compressors", compressors, "run folders or exported compressors to evaluate");
    v("tasks", tasks, "what every row is asked",
      one_of({"qa", "choice", "continuation", "autoencoding", "reconstruction"}));
    v("options", options, "choice: what to choose from where a question has no options of its own, as yes,no");
    v("references", references,
      "rows without training: the whole context, none, its last or first tokens, mean pooling around the frozen "
      "decoder",
      one_of({"full", "none", "truncate", "truncate-first", "mean-pool"}));
    v("limit", limit, "questions to ask; 0: all", at_least(0));
    v("batch", batch, "questions answered at once", at_least(1));
    v("max_new_tokens", max_new_tokens, "longest answer in tokens", at_least(1));
    v("truncate_ratio", truncate_ratio, "references keep 1 token in this many; 0: each ratio of the compressors",
      at_least(0));
    v("bootstrap_samples", bootstrap_samples, "draws of contexts for the 95 % intervals", at_least(10));
    v("answer_cut", answer_cut, "where a generated answer ends", one_of({"newline", "sentence"}));
    v("target_em", target_em, "exit with 1 if the first compressor's exact match is below this", between(0, 100));
    v("prompt", prompt, "prompt of the references");
  }
};

struct BenchConfig {
  std::vector<std::string> jobs = {"prefill", "decode", "compress", "train_step", "e2e_qa"}, methods,
                           dtype = {"bfloat16"};
  std::vector<int64_t> batch = {1, 8}, context = {512}, prompt = {128}, ratio = {4};
  int64_t train_batch = 4, questions = 5, segments_at_once = 0, repeat = 5, warmup = 1;
  template <class V>
  void visit(V& v) {
    v("jobs", jobs, "what is measured; gate: both forms of ComprExIT's depth-wise gate",
      one_of({"prefill", "decode", "compress", "train_step", "e2e_qa", "gate"}));
    v("methods", methods, "compression methods, in their published form and untrained; empty: all");
    v("batch", batch, "contexts at once", at_least(1));
    v("train_batch", train_batch, "contexts of a training step", at_least(1));
    v("context", context, "tokens of a context", at_least(1));
    v("prompt", prompt, "tokens in front of those that decode writes", at_least(1));
    v("questions", questions, "asked of one context in e2e_qa", at_least(1));
    v("segments_at_once", segments_at_once, "compress in parts of so many segments, in bounded memory; 0: all at once",
      at_least(0));
    v("ratio", ratio, "compression ratios", at_least(1));
    v("dtype", dtype, "of the frozen weights", one_of({"float32", "bfloat16"}));
    v("repeat", repeat, "timed runs, of which the median counts", at_least(1));
    v("warmup", warmup, "runs before them that do not count", at_least(0));
  }
};

// A named choice of the sweep's grid.
struct SweepChoice {
  std::string name, config;
  std::vector<std::string> set;
  template <class V>
  void visit(V& v) {
    v("name", name, "shown in tables; part of folder names");
    v("config", config, "a configuration file whose settings it has; may be empty");
    v("set", set, "key=value settings on top, as on the command line");
  }
};

struct SweepConfig {
  std::vector<SweepChoice> methods, data;
  std::vector<int64_t> ratios = {4}, seeds = {1};
  bool shared_ratios = false;
  std::string baseline, score = "em_percent";
  template <class V>
  void visit(V& v) {
    v("methods", methods, "compressors, each a name and its settings");
    v("ratios", ratios, "compression ratios", at_least(1));
    v("seeds", seeds, "seeds of training", at_least(0));
    v("data", data, "data sets, each a name and its settings; empty: data.train and data.eval");
    v("shared_ratios", shared_ratios, "one training for all ratios of a method (a ratio drawn per batch)");
    v("baseline", baseline, "the method whose best score the others' time to target is measured against");
    v("score", score,
      "that score, as evaluations during training name it: em_percent, loss_nats, "
      "autoencoding_next_token_accuracy_percent; "
      "of one that ends in loss_nats or perplexity the lowest is best");
  }
};

struct RunConfig {
  std::string dir;
  int64_t seed = 1, threads = 0;
  double process_timeout = 600;
  bool deterministic = true;
  template <class V>
  void visit(V& v) {
    v("dir", dir, "folder of the run's files");
    v("seed", seed, "seed of initial values, data order and dropout", at_least(0));
    v("threads", threads, "processor threads; 0: OMP_NUM_THREADS, else all cores", at_least(0));
    v("process_timeout", process_timeout, "seconds to wait for another process of the group", at_least(1));
    v("deterministic", deterministic, "only algorithms that repeat bit for bit");
  }
};

struct Config {
  ModelConfig model;
  TokenizerConfig tokenizer;
  CompressorConfig compressor;
  DataConfig data;
  TrainConfig train;
  EvalConfig eval;
  BenchConfig bench;
  SweepConfig sweep;
  RunConfig run;
  template <class V>
  void visit(V& v) {
    v("model", model, "the frozen decoder");
    v("tokenizer", tokenizer, "text to token ids");
    v("compressor", compressor, "what is trained");
    v("data", data, "questions, contexts and their templates");
    v("train", train, "optimisation");
    v("eval", eval, "evaluation and references");
    v("bench", bench, "measurements of speed and memory");
    v("sweep", sweep, "the grid of methods, ratios, seeds and data");
    v("run", run, "where and how it runs");
  }
};

}  // namespace precis

// The configuration tree. Every struct lists its fields once, in `visit`; parsing, validation, printing, the JSON
// Schema and docs/config.md are visitors over that list (config/schema.h).
#pragma once

#include "precis/config/compressor_config.h"

namespace precis {

struct ModelConfig {
  std::string path, shape, dtype = "auto", decode_dtype = "same", device = "cpu";
  template <class V>
  void visit(V& v) {
    v("path", path, "frozen decoder: a Hugging Face folder or a GGUF file");
    v("shape", shape, "config.json of the decoder, for train --dry-run without its weights");
    v("dtype", dtype, "dtype of the weights; auto: bfloat16 if the processor multiplies it natively, else float32",
      one_of({"auto", "float32", "bfloat16"}));
    v("decode_dtype", decode_dtype,
      "dtype of the weights for token-by-token decoding on the CPU, which is bound by reading them; bfloat16: a "
      "separate copy with half the bytes of float32",
      one_of({"same", "bfloat16"}));
    v("device", device, "device: cpu or cuda", one_of({"cpu", "cuda"}));
  }
};

struct TokenizerConfig {
  std::string path;
  template <class V>
  void visit(V& v) {
    v("path", path, "tokenizer file or folder; empty: the model's own");
  }
};

// Where a row of a data file has what a question needs: dotted paths into the row, or templates over several.
struct FieldsConfig {
  std::string context = "context", question = "question", answers = "answers", id = "id", options = "options";
  template <class V>
  void visit(V& v) {
    v("context", context, "path of the context, or a template such as {title}\\n{text}");
    v("question", question, "path of the question, or of a list of questions about the row's context; or a template");
    v("answers", answers, "path of the gold answers: a text, a list, or an object with them in text");
    v("id", id, "path of the question's id; without one, file and line");
    v("options", options, "path of the options of multiple-choice questions; answers may then be letters or indices");
  }
};

struct DataConfig {
  std::vector<std::string> train, eval;
  FieldsConfig fields;
  bool skip_bad = false;
  std::string context_template = "{context}",
              query_template = "\nQuestion: {question}\nAnswer:", answer_template = " {answer}", answer_end = "eos";
  int64_t questions_per_context = 3, max_context_tokens = 512, min_context_tokens = 0, max_task_tokens = 128,
          continuation_tokens = 64;
  template <class V>
  void visit(V& v) {
    v("train", train, "training sets: SQuAD JSON, MRQA jsonl, rows of JSON, CSV or TSV, or folders of precis prepare");
    v("eval", eval, "evaluation sets in the same formats; contexts of a prepared corpus are evenly spaced");
    v("fields", fields, "where rows that are not in a format of their own have context, question and answers");
    v("skip_bad", skip_bad, "leave out rows that cannot be read, with a warning that counts and names them");
    v("context_template", context_template, "template of the compressed text");
    v("query_template", query_template, "template of the text after the memory");
    v("answer_template", answer_template, "template of the supervised answer");
    v("answer_end", answer_end,
      "end of an answer in training: the EOS token, a newline, or the answer template's own end",
      one_of({"eos", "newline", "template"}));
    v("questions_per_context", questions_per_context, "questions that share one compressed context in a training batch",
      at_least(1));
    v("max_context_tokens", max_context_tokens,
      "training skips longer contexts; contexts of a prepared corpus have this length", at_least(1));
    v("min_context_tokens", min_context_tokens,
      "prepared corpora: each batch samples a length between this and the maximum; 0: always the maximum", at_least(0));
    v("max_task_tokens", max_task_tokens, "training skips longer query and answer pairs", at_least(2));
    v("continuation_tokens", continuation_tokens,
      "length of the lm target: the last tokens of a context, or those after it in a prepared corpus", at_least(1));
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
    v("distill_task", distill_task, "tokens on which the distributions are compared: answers or continuations",
      one_of({"qa", "lm"}));
    v("distill_temperature", distill_temperature, "softmax temperature of both distributions", at_least(1e-3));
    v("distill_top_k", distill_top_k, "use only the teacher's k most likely tokens, renormalised; 0: all", at_least(0));
    v("mix", mix, "all objectives in every batch, or one sampled per batch", one_of({"joint", "sample"}));
  }
};

// A learning-rate factor for some of the trained tensors.
struct LrFactorConfig {
  std::string tensors;
  double factor = 1;
  template <class V>
  void visit(V& v) {
    v("tensors", tensors, "prefix of the tensors' names: lora, memory_rows, projector, ...");
    v("factor", factor, "factor on the learning rate of these tensors", at_least(0));
  }
};

// A training stage; unset fields take their value from `train`.
struct StageConfig {
  std::string name, schedule;
  int64_t steps = 0, warmup_steps = -1, min_context_tokens = -1, max_context_tokens = 0;
  double lr = 0;
  ObjectiveConfig objectives{.qa = 0};
  std::vector<std::string> data;
  template <class V>
  void visit(V& v) {
    v("name", name, "name in the log");
    v("steps", steps, "optimiser steps of this stage", at_least(0));
    v("objectives", objectives, "training objectives; all weights 0: train.objectives");
    v("lr", lr, "peak learning rate; 0: train.lr", at_least(0));
    v("schedule", schedule, "learning-rate schedule; empty: train.schedule",
      one_of({"", "constant", "linear", "cosine"}));
    v("warmup_steps", warmup_steps, "steps of linear warm-up; -1: train.warmup_steps", at_least(-1));
    v("data", data, "training sets of this stage; empty: data.train");
    v("min_context_tokens", min_context_tokens, "minimum context length; -1: data.min_context_tokens", at_least(-1));
    v("max_context_tokens", max_context_tokens,
      "maximum context length, e.g. for a curriculum; 0: data.max_context_tokens", at_least(0));
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
    v("objectives", objectives, "training objectives");
    v("stages", stages, "consecutive stages, each with fresh optimiser moments; empty: one stage of train.steps");
    v("start_from", start_from, "run folder or exported compressor that provides a new run's initial tensors");
    v("steps", steps, "optimiser steps", at_least(0));
    v("max_seconds", max_seconds, "stop after this many seconds of training, excluding evaluations; 0: no limit",
      at_least(0));
    v("batch", batch, "contexts per step, over all processes", at_least(1));
    v("micro_batch", micro_batch,
      "contexts per forward and backward pass, with gradient accumulation; 0: the whole batch", at_least(0));
    v("recompute", recompute,
      "activation recomputation: layers keep only their inputs and run again in the backward pass; less memory, one "
      "more forward pass");
    v("skip_limit", skip_limit, "maximum number of skipped steps (loss or gradient not finite)", at_least(0));
    v("target_em", target_em, "stop once an evaluation reaches this exact match in percent; 0: never", between(0, 100));
    v("keep_best", keep_best, "also keep the checkpoint with the best evaluation result by this score",
      one_of({"", "em_percent", "f1_percent"}));
    v("allow_changes", allow_changes, "settings (key paths) that may change when a run is resumed");
    v("lr", lr, "peak learning rate", at_least(0));
    v("lr_factors", lr_factors, "learning-rate factors by tensor name; the last match applies");
    v("schedule", schedule, "learning-rate schedule after warm-up", one_of({"constant", "linear", "cosine"}));
    v("final_lr_share", final_lr_share, "final learning rate as a share of the peak", between(0, 1));
    v("warmup_steps", warmup_steps, "steps of linear warm-up", at_least(0));
    v("weight_decay", weight_decay, "AdamW's decoupled weight decay", at_least(0));
    v("beta1", beta1, "AdamW's decay rate of the first moment", between(0, 0.999999));
    v("beta2", beta2, "AdamW's decay rate of the second moment", between(0, 0.9999999));
    v("epsilon", epsilon, "AdamW's epsilon", at_least(0));
    v("clip", clip, "maximum gradient norm; 0: no clipping", at_least(0));
    v("log_interval", log_interval, "steps between lines of metrics.jsonl", at_least(1));
    v("save_interval", save_interval, "steps between checkpoints", at_least(1));
    v("keep", keep, "number of checkpoints to keep", at_least(1));
    v("eval_interval", eval_interval, "steps between evaluations; 0: no evaluations by steps", at_least(0));
    v("eval_seconds", eval_seconds, "seconds of training between evaluations; 0: no evaluations by time", at_least(0));
    v("eval_limit", eval_limit, "questions (prepared corpora: contexts) per periodic evaluation", at_least(1));
    v("eval_tasks", eval_tasks, "tasks of periodic evaluations",
      one_of({"qa", "choice", "continuation", "autoencoding", "reconstruction"}));
  }
};

// A prompt for the uncompressed references; "{context}" and "{question}" are placeholders.
struct PromptConfig {
  std::string name = "plain", with_context = "Context: {context}\nQuestion: {question}\nAnswer:",
              without_context = "Question: {question}\nAnswer:";
  template <class V>
  void visit(V& v) {
    v("name", name, "name in the report's rows");
    v("with_context", with_context, "prompt for the references full and truncate");
    v("without_context", without_context, "prompt for the reference none");
  }
};

struct EvalConfig {
  std::vector<std::string> compressors, memories, tasks = {"qa"}, metrics = {"em", "f1", "contains"},
                                                  references = {"full", "none", "truncate"}, options, in_domain;
  int64_t limit = 0, batch = 8, max_new_tokens = 24, max_context_tokens = 0, truncate_ratio = 0,
          bootstrap_samples = 1000, segments_at_once = 16;
  std::string answer_cut = "newline", checkpoint;
  double target_em = 0;
  PromptConfig prompt;
  template <class V>
  void visit(V& v) {
    v("compressors", compressors, "run folders or exported compressors to evaluate");
    v("memories", memories,
      "folders of memory files, each a row: contexts are looked up there, by their token ids, instead of compressed");
    v("checkpoint", checkpoint,
      "last, best (of train.keep_best) or a step of each run in eval.compressors; empty: its export");
    v("tasks", tasks, "evaluation tasks", one_of({"qa", "choice", "continuation", "autoencoding", "reconstruction"}));
    v("metrics", metrics, "metrics of the qa task, the main one first",
      one_of({"em", "f1", "contains", "accuracy", "rouge_1", "rouge_l", "bleu", "match_all", "match_part",
              "longbench_rouge", "classification", "retrieval", "count", "code_sim"}));
    v("in_domain", in_domain,
      "names of the in-domain sets, for averages over several sets; empty: the sets that data.train has");
    v("options", options, "choice task: options for questions without their own, e.g. yes,no");
    v("references", references,
      "rows without training: full (the whole context), none, truncate and truncate-first (its last or first tokens), "
      "or a method's name (untrained, without adapters and projector)");
    v("limit", limit, "maximum number of questions; 0: all", at_least(0));
    v("batch", batch, "questions per batch", at_least(1));
    v("segments_at_once", segments_at_once,
      "compress longer contexts in parts of this many segments, in bounded memory; the result is the same",
      at_least(1));
    v("max_new_tokens", max_new_tokens, "maximum answer length in tokens", at_least(1));
    v("max_context_tokens", max_context_tokens,
      "longer contexts lose their middle, as in LongBench; 0: contexts are never cut", at_least(0));
    v("truncate_ratio", truncate_ratio, "references keep 1 in this many tokens; 0: each ratio of the compressors",
      at_least(0));
    v("bootstrap_samples", bootstrap_samples, "bootstrap resamples of the contexts for the 95 % intervals",
      at_least(10));
    v("answer_cut", answer_cut,
      "end of a generated answer: a newline, also a full stop, the end of its first line with text, or none",
      one_of({"newline", "sentence", "line", "none"}));
    v("target_em", target_em, "exit with status 1 if the first compressor's exact match is below this many percent",
      between(0, 100));
    v("prompt", prompt, "prompt for the references");
  }
};

struct BenchConfig {
  std::vector<std::string> jobs = {"prefill", "decode", "compress", "train_step", "e2e_qa"}, methods,
                           dtype = {"bfloat16"};
  std::vector<int64_t> batch = {1, 8}, context = {512}, prompt = {128}, ratio = {4};
  int64_t train_batch = 4, questions = 5, segments_at_once = 0, repeat = 5, warmup = 1;
  template <class V>
  void visit(V& v) {
    v("jobs", jobs, "benchmark jobs; gate: both forms of ComprExIT's depth-wise gate",
      one_of({"prefill", "decode", "compress", "train_step", "e2e_qa", "gate"}));
    v("methods", methods, "compression methods in their published form, untrained; empty: all");
    v("batch", batch, "contexts per batch", at_least(1));
    v("train_batch", train_batch, "contexts per training step", at_least(1));
    v("context", context, "context length in tokens", at_least(1));
    v("prompt", prompt, "prompt length of decode in tokens", at_least(1));
    v("questions", questions, "questions per context in e2e_qa", at_least(1));
    v("segments_at_once", segments_at_once,
      "compress in parts of this many segments, in bounded memory; 0: all at once", at_least(0));
    v("ratio", ratio, "compression ratios", at_least(1));
    v("dtype", dtype, "dtype of the frozen weights", one_of({"float32", "bfloat16"}));
    v("repeat", repeat, "timed runs; the median is reported", at_least(1));
    v("warmup", warmup, "untimed runs before the timed ones", at_least(0));
  }
};

// A named entry of the sweep's grid.
struct SweepChoice {
  std::string name, config;
  std::vector<std::string> set;
  template <class V>
  void visit(V& v) {
    v("name", name, "name in tables and folder names");
    v("config", config, "configuration file with its settings; may be empty");
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
    v("methods", methods, "compressors, each with a name and settings");
    v("ratios", ratios, "compression ratios", at_least(1));
    v("seeds", seeds, "training seeds", at_least(0));
    v("data", data, "data sets, each with a name and settings; empty: data.train and data.eval");
    v("shared_ratios", shared_ratios, "train each method once for all ratios (one ratio sampled per batch)");
    v("baseline", baseline, "method whose best score is the target for the others' time to target");
    v("score", score,
      "score for time to target, named as in training evaluations: em_percent, loss_nats, "
      "autoencoding_next_token_accuracy_percent; lower is better for names ending in loss_nats or perplexity");
  }
};

struct RunConfig {
  std::string dir;
  int64_t seed = 1, threads = 0;
  double process_timeout = 600;
  bool deterministic = true, tensorboard = false;
  template <class V>
  void visit(V& v) {
    v("dir", dir, "run folder");
    v("seed", seed, "random seed for initial values, data order and dropout", at_least(0));
    v("threads", threads, "CPU threads; 0: OMP_NUM_THREADS, else all cores", at_least(0));
    v("process_timeout", process_timeout, "seconds to wait for another process of the group", at_least(1));
    v("deterministic", deterministic,
      "use only bit-for-bit reproducible algorithms; an operation without one is an error, on a GPU a warning");
    v("tensorboard", tensorboard, "also write TensorBoard event files, to tensorboard/ in the run folder");
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
    v("tokenizer", tokenizer, "tokenizer of the decoder");
    v("compressor", compressor, "the trained compressor");
    v("data", data, "questions, contexts and their templates");
    v("train", train, "optimisation");
    v("eval", eval, "evaluation and references");
    v("bench", bench, "speed and memory benchmarks");
    v("sweep", sweep, "grid of methods, ratios, seeds and data sets");
    v("run", run, "run folder, random seed and threads");
  }
};

}  // namespace precis

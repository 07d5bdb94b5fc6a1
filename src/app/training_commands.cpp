#include "command_line.h"

namespace precis {
namespace {

void add_train(CommandLine& line) {
  auto dry_run = std::make_shared<bool>(false);
  CLI::App& command = line.add_configured(
      "train", "train a compressor; resumes an interrupted run in the same run.dir", [&line, dry_run](const Config& c) {
        *dry_run ? run_plan(c, line.registry()) : run_train(c, line.registry(), line.json());
      });
  command.add_flag("--dry-run", *dry_run,
                   "print the plan and exit; model.shape replaces a model that is not available");
}

void add_prepare(CommandLine& line) {
  auto c = std::make_shared<PrepareCommand>();
  CLI::App& command = line.add("prepare", "tokenise a text corpus for training", [c] { run_prepare(*c); });
  command
      .add_option("sources", c->options.sources,
                  "text, Markdown or jsonl files (.gz, .xz, .zst), tar archives of them, folders, globs")
      ->required();
  command.add_option("--tokenizer", c->tokenizer, "tokenizer file or folder, or GGUF file")->required();
  command.add_option("--out", c->out, "folder for the shards; resumes an interrupted run")->required();
  command.add_option("--field", c->options.field, "key of the text in jsonl lines");
  command
      .add_option("--separator", c->options.separator,
                  "separator of documents: bos before each, eos after each, none, or auto")
      ->check(CLI::IsMember({"auto", "bos", "eos", "none"}));
  command.add_option("--shard-tokens", c->options.shard_tokens, "end a shard after this many tokens")
      ->check(CLI::Range(int64_t{1}, int64_t{1} << 32));
  command.add_option("--jobs", c->options.jobs, "tokenising threads; 0: one per core")->check(CLI::Range(0, 1024));
  command.add_flag("--json", c->json, "print the result as a JSON line");
}

void add_pretrain(CommandLine& line) {
  auto c = std::make_shared<PretrainCommand>();
  CLI::App& command =
      line.add("pretrain", "pretrain a small decoder on generated passages or on a corpus", [c] { run_pretrain(*c); });
  command.add_option("--out", c->out, "Hugging Face folder to create; resumes an interrupted run")->required();
  const CLI::Range positive(int64_t{1}, int64_t{1} << 30);
  command.add_option("--hidden", c->options.hidden, "hidden size")->check(positive);
  command.add_option("--layers", c->options.layers, "layers")->check(positive);
  command.add_option("--heads", c->options.heads, "attention heads")->check(positive);
  command.add_option("--kv-heads", c->options.kv_heads, "key/value heads")->check(positive);
  command.add_option("--intermediate", c->options.intermediate, "width of the feed-forward layers")->check(positive);
  command.add_option("--vocabulary", c->options.vocabulary, "vocabulary size of the tokenizer, which is trained first")
      ->check(positive);
  command.add_option("--steps", c->options.steps, "optimiser steps")->check(positive);
  command.add_option("--batch", c->options.batch, "contexts per step, over all processes")->check(positive);
  command.add_option("--corpus", c->options.corpus, "folder made by precis prepare; default: generated passages");
  command.add_option("--tokenizer", c->options.tokenizer, "SentencePiece tokenizer that the corpus was prepared with");
  command.add_option("--held-out", c->options.held_out,
                     "folder made by precis prepare; evaluate on its first 64 windows");
  command.add_option("--context", c->options.context, "tokens per row of the corpus")->check(CLI::Range(2, 1024));
  command.add_option("--dtype", c->options.dtype, "dtype of products: float32 or bfloat16; weights stay float32")
      ->check(CLI::IsMember({"float32", "bfloat16"}));
  command.add_option("--eval-interval", c->options.eval_interval, "steps between evaluations on held-out text")
      ->check(positive);
  command.add_option("--save-interval", c->options.save_interval, "steps between checkpoints")->check(positive);
  command.add_option("--entities", c->options.entities, "maximum number of passages per context")
      ->check(CLI::Range(1, 100));
  command.add_option("--start-from", c->options.start_from, "decoder made by precis pretrain to start from");
  command.add_option("--learning-rate", c->options.learning_rate, "peak learning rate")->check(between_numbers(0, 100));
  command
      .add_option("--answer-weight", c->options.answer_weight, "weight of an answer's tokens in the loss; others: 1")
      ->check(between_numbers(0, 1e6));
  command.add_option("--seed", c->options.seed, "random seed for initial values and passages");
  command.add_option("--threads", c->threads, "CPU threads; 0: all")->check(CLI::Range(0, 1024));
}

void add_train_tokenizer(CommandLine& line) {
  auto c = std::make_shared<TrainTokenizerCommand>();
  CLI::App& command = line.add("train-tokenizer", "train a SentencePiece tokenizer (byte-pair encoding) on text",
                               [c] { run_train_tokenizer(*c); });
  command.add_option("sources", c->sources, "files, folders or globs, as for precis prepare")->required();
  command.add_option("--out", c->out, "folder to create: tokenizer.model, tokenizer_config.json")->required();
  command.add_option("--vocabulary", c->vocabulary, "vocabulary size")->check(CLI::Range(260, 1 << 20));
  command.add_option("--bytes-per-document", c->bytes, "bytes to read from the start of each document")
      ->check(CLI::Range(1, 1 << 30));
  command.add_option("--field", c->field, "key of the text in jsonl lines");
}

}  // namespace

void add_training_commands(CommandLine& line) {
  add_train(line);
  add_prepare(line);
  add_pretrain(line);
  add_train_tokenizer(line);
}

}  // namespace precis

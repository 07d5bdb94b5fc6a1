#include <CLI/CLI.hpp>
#include <cmath>
#include <cstdio>

#include "commands.h"
#include "precis/config/schema.h"
#include "precis/core/error.h"
#include "precis/core/file.h"
#include "precis/core/log.h"
#include "precis/core/strings.h"
#include "precis/data/synth.h"
#include "precis/text/utf8.h"

namespace precis {
namespace {

void run_synth(const std::string& out, const SynthOptions& options) {
  write_file_atomically(out, [&](std::ostream& stream) { write_synth(stream, options); });
  log::info(cat(out, ": ", options.count, " contexts with ", options.questions, " questions each, split ",
                options.split, ", seed ", options.seed));
}

// The program's commands. A member function per command declares its options and its action.
class CommandLine {
 public:
  explicit CommandLine(const CompressorRegistry& registry) : registry_(registry) {
    app_.require_subcommand(0, 1);
    app_.set_version_flag("--version", PRECIS_VERSION);
    app_.add_flag("--print-schema", print_schema_, "print the configuration's JSON Schema");
    app_.add_flag("--print-docs", print_docs_, "print docs/config.md");
    app_.add_flag("--quiet", quiet_, "log warnings and errors only");
    add_train();
    add_eval();
    add_sweep();
    add_compress();
    add_generate();
    add_bench();
    add_score();
    add_tokenize();
    add_inspect();
    add_prepare();
    add_pretrain();
    add_train_tokenizer();
    add_synth();
    add_import();
    add_export();
  }

  int run(std::vector<std::string> words) {
    std::reverse(words.begin(), words.end());  // CLI11 expects the last argument first
    try {
      app_.parse(words);
    } catch (const CLI::ParseError& e) {
      return app_.exit(e) == 0 ? 0 : 2;
    }
    if (quiet_) log::set_level(log::Level::warn);
    if (print_schema_) return std::printf("%s\n", json_schema(registry_.methods()).dump(2).c_str()), 0;
    if (print_docs_) return std::fputs(markdown_reference(registry_.methods()).c_str(), stdout), 0;
    for (const auto& [command, action] : actions_) {
      if (command->parsed()) return action(), 0;
    }
    std::fputs(app_.help().c_str(), stderr);
    return 2;
  }

 private:
  CLI::App& add(const std::string& name, const std::string& about, std::function<void()> action) {
    CLI::App* command = app_.add_subcommand(name, about);
    actions_.emplace_back(command, std::move(action));
    return *command;
  }

  // A command that takes the configuration. With --print-config, prints the configuration and does not run `action`.
  CLI::App& add_configured(const std::string& name, const std::string& about,
                           std::function<void(const Config&)> action) {
    CLI::App& command = add(name, about, [this, action = std::move(action)] {
      const Config config = resolve_config(layers(), registry_.methods());
      print_config_ ? void(std::printf("%s\n", to_json(config).dump(2).c_str())) : action(config);
    });
    command.add_option("--config", config_file_, "configuration file (JSON with // comments)");
    command.add_option("overrides", overrides_, "key=value settings, which override the file");
    command.add_flag("--print-config", print_config_, "print the resolved configuration and exit");
    command.add_flag("--print-schema", print_schema_, "print the configuration's JSON Schema and exit");
    command.add_flag("--json", json_, "print results as JSON lines");
    command.add_flag("--quiet", quiet_, "log warnings and errors only");
    return command;
  }

  // The configuration from the command line.
  std::vector<ConfigLayer> layers() const {
    for (const auto& text : overrides_) {
      if (first_invalid_utf8(text) != std::string::npos)
        throw Error({.what = "not valid UTF-8", .where = "command line"});
    }
    return config_layers(config_file_, overrides_);
  }

  void add_train() {
    CLI::App& command =
        add_configured("train", "train a compressor; resumes an interrupted run in the same run.dir",
                       [this](const Config& c) { dry_run_ ? run_plan(c, registry_) : run_train(c, registry_, json_); });
    command.add_flag("--dry-run", dry_run_,
                     "print the plan and exit; model.shape replaces a model that is not available");
  }

  void add_eval() {
    add_configured("eval", "evaluate compressors and references on the same questions; write a report",
                   [this](const Config& c) { run_eval(c, registry_, json_); });
  }

  void add_sweep() {
    CLI::App& command = add_configured(
        "sweep", "train and evaluate a grid of methods, ratios, seeds and data; resumes an interrupted sweep",
        [this](const Config&) { run_sweep_command(layers(), list_, json_, registry_); });
    command.add_flag("--list", list_, "print the plan with time estimates and exit");
  }

  void add_bench() {
    CLI::App& command = add_configured("bench", "measure speed and memory, each measurement in a separate process",
                                       [this](const Config& c) {
                                         bench_task_.empty() ? run_bench(c, bench_trace_, registry_)
                                                             : run_bench_here(c, bench_task_, bench_trace_, registry_);
                                       });
    command.add_option("--task", bench_task_, "run one measurement in this process (JSON)");
    command.add_option("--trace", bench_trace_,
                       "folder for a timeline of each measurement (Chrome's trace format); with --task, a file");
  }

  static void add_dtype(CLI::App& command, RunOptions& o) {
    command.add_option("--dtype", o.dtype, "dtype of the model's weights; default: that of the run, else auto")
        ->check(CLI::IsMember({"auto", "float32", "bfloat16"}));
  }

  static void add_checkpoint(CLI::App& command, RunOptions& o) {
    command.add_option("--checkpoint", o.checkpoint,
                       "last, best (of train.keep_best) or a step of the run; default: its export");
  }

  // Numbers between both; not NaN, which CLI11's range lets through.
  static CLI::Validator range(double low, double high) {
    const std::string about = cat(low, " to ", high);
    return CLI::Validator(
        [=](const std::string& text) {
          double value = NAN;
          return CLI::detail::lexical_cast(text, value) && value >= low && value <= high ? "" : "expected " + about;
        },
        about);
  }

  // A list of words, each taken as it is: CLI11 would read "[x]" as a list of its own.
  static CLI::Option* add_list(CLI::App& command, const std::string& name, std::vector<std::string>& words,
                               const std::string& about) {
    return command.add_option(name, words, about)->allow_extra_args(false);
  }

  static void add_segments_at_once(CLI::App& command, int64_t& value) {
    command
        .add_option("--segments-at-once", value,
                    "segments to compress at once; bounds memory in use, does not change the result")
        ->check(CLI::Range(1, 1 << 20));
  }

  static void add_run_options(CLI::App& command, RunOptions& o) {
    command.add_option("--compressor", o.compressor, "run folder or exported compressor")->required();
    command.add_option("--model", o.model, "base model of the compressor; default: the model of its run");
    add_checkpoint(command, o);
    add_dtype(command, o);
    command
        .add_option("--decode-dtype", o.decode_dtype,
                    "dtype of the weights for token-by-token decoding; default: that of the run")
        ->check(CLI::IsMember({"same", "bfloat16"}));
    command.add_option("--device", o.device, "device: cpu or cuda")->check(CLI::IsMember({"cpu", "cuda"}));
    command
        .add_option("--ratio", o.ratio,
                    "compression ratio of new memories, if trained for several; default: the first ratio")
        ->check(CLI::Range(1, 1 << 30));
    command.add_option("--threads", o.threads, "CPU threads; 0: all")->check(CLI::Range(0, 4096));
  }

  void add_compress() {
    CompressCommand& c = compress_;
    CLI::App& command =
        add("compress", "compress texts into memory files", [this] { run_compress(compress_, registry_); });
    add_run_options(command, c.run);
    command.add_option("--text", c.text, "text file, or - for standard input");
    command.add_option("--jsonl", c.jsonl, "documents, one JSON object per line (also .gz, or - for standard input)");
    command.add_option("--text-field", c.text_field, "with --jsonl: key of the text");
    command.add_option("--id-field", c.id_field, "with --jsonl: key of the id, which names the memory file");
    command.add_option("--append", c.append, "memory file to append the text to");
    command.add_option("--out", c.out, "memory file to write; with --jsonl: folder of memory files")->required();
    command.add_option("--store", c.store, "dtype of the stored memory; default: as computed")
        ->check(CLI::IsMember({"float32", "bfloat16"}));
    command.add_option("--batch", c.batch, "with --jsonl: documents per batch")->check(CLI::Range(1, 65536));
    add_segments_at_once(command, c.segments_at_once);
    command.add_flag("--json", c.json, "print a JSON line per memory file");
  }

  void add_generate() {
    GenerateCommand& c = generate_;
    CLI::App& command =
        add("generate", "generate text from memories and a prompt", [this] { run_generate(generate_, registry_); });
    add_run_options(command, c.run);
    add_list(command, "--memory", c.memories, "memory files, concatenated in the given order");
    add_list(command, "--text", c.texts, "text files to compress, instead of memory files");
    add_segments_at_once(command, c.segments_at_once);
    command.add_flag("--each", c.each, "answer from each memory separately, in one batch");
    command.add_option("--prompt", c.prompt,
                       "text after the memory, without a template; special tokens' names are parsed");
    command.add_option("--question", c.question, "question, inserted into the query template of the training run");
    command.add_option("--max-new-tokens", c.options.max_new_tokens, "maximum number of new tokens")
        ->check(CLI::Range(1, 1 << 20));
    command.add_option("--temperature", c.options.temperature, "sampling temperature; 0: greedy")->check(range(0, 100));
    command.add_option("--top-k", c.options.top_k, "sample from the k most likely tokens; 0: all")
        ->check(CLI::Range(0, 1 << 24));
    command.add_option("--top-p", c.options.top_p, "sample from the most likely tokens with this total probability")
        ->check(range(0, 1));
    command.add_option("--seed", c.options.seed, "random seed for sampling");
    add_list(command, "--stop", c.stops, "stop texts, not included in the answer");
    command.add_flag("--json", c.json, "print a JSON line with the text and its cost instead of streaming");
  }

  void add_score() {
    CLI::App& command =
        add("score", "compute exact match and F1 of a predictions file", [this] { run_score(dataset_, predictions_); });
    command.add_option("dataset", dataset_, "SQuAD JSON or MRQA jsonl(.gz)")->required();
    command.add_option("predictions", predictions_, "JSON: question id to text")->required();
  }

  void add_tokenize() {
    CLI::App& command =
        add("tokenize", "read one JSON string per line from standard input; print one JSON array of ids per line",
            [this] { run_tokenize(tokenizer_, decode_, special_); });
    command.add_option("--tokenizer", tokenizer_, "tokenizer file or folder, or GGUF file")->required();
    command.add_flag("--decode", decode_, "convert ids to text");
    command.add_flag("--special", special_, "parse special tokens in the text; with --decode: omit them");
  }

  void add_inspect() {
    CLI::App& command = add("inspect", "describe a checkpoint, GGUF, memory file, run folder or tokenizer", [this] {
      if (attention_.text.empty()) return run_inspect(path_, json_);
      attention_.run.compressor = path_;
      attention_.json = json_;
      run_attention(attention_, registry_);
    });
    command.add_option("path", path_, "file or folder")->required();
    command.add_option("--attention", attention_.text,
                       "text file; show how a run's memory rows attend over it, by layer");
    command.add_flag("--untrained", attention_.untrained, "with --attention: before training");
    add_checkpoint(command, attention_.run);
    command.add_option("--model", attention_.run.model, "with --attention: base model, if the run's path has changed");
    command.add_flag("--json", json_, "print JSON on one line");
  }

  void add_pretrain() {
    PretrainOptions& o = pretrain_.options;
    CLI::App& command = add("pretrain", "pretrain a small decoder on generated passages or on a corpus",
                            [this] { run_pretrain(pretrain_); });
    command.add_option("--out", pretrain_.out, "Hugging Face folder to create; resumes an interrupted run")->required();
    const CLI::Range positive(int64_t{1}, int64_t{1} << 30);
    command.add_option("--hidden", o.hidden, "hidden size")->check(positive);
    command.add_option("--layers", o.layers, "layers")->check(positive);
    command.add_option("--heads", o.heads, "attention heads")->check(positive);
    command.add_option("--kv-heads", o.kv_heads, "key/value heads")->check(positive);
    command.add_option("--intermediate", o.intermediate, "width of the feed-forward layers")->check(positive);
    command.add_option("--vocabulary", o.vocabulary, "vocabulary size of the tokenizer, which is trained first")
        ->check(positive);
    command.add_option("--steps", o.steps, "optimiser steps")->check(positive);
    command.add_option("--batch", o.batch, "contexts per step, over all processes")->check(positive);
    command.add_option("--corpus", o.corpus, "folder made by precis prepare; default: generated passages");
    command.add_option("--tokenizer", o.tokenizer, "SentencePiece tokenizer that the corpus was prepared with");
    command.add_option("--held-out", o.held_out, "folder made by precis prepare; evaluate on its first 64 windows");
    command.add_option("--context", o.context, "tokens per row of the corpus")->check(CLI::Range(2, 1024));
    command.add_option("--dtype", o.dtype, "dtype of products: float32 or bfloat16; weights stay float32")
        ->check(CLI::IsMember({"float32", "bfloat16"}));
    command.add_option("--eval-interval", o.eval_interval, "steps between evaluations on held-out text")
        ->check(positive);
    command.add_option("--save-interval", o.save_interval, "steps between checkpoints")->check(positive);
    command.add_option("--entities", o.entities, "maximum number of passages per context")->check(CLI::Range(1, 100));
    command.add_option("--start-from", o.start_from, "decoder made by precis pretrain to start from");
    command.add_option("--learning-rate", o.learning_rate, "peak learning rate")->check(range(0, 100));
    command.add_option("--answer-weight", o.answer_weight, "weight of an answer's tokens in the loss; others: 1")
        ->check(range(0, 1e6));
    command.add_option("--seed", o.seed, "random seed for initial values and passages");
    command.add_option("--threads", pretrain_.threads, "CPU threads; 0: all")->check(CLI::Range(0, 1024));
  }

  void add_train_tokenizer() {
    CLI::App& command = add("train-tokenizer", "train a SentencePiece tokenizer (byte-pair encoding) on text",
                            [this] { run_train_tokenizer(train_tokenizer_); });
    add_list(command, "sources", train_tokenizer_.sources, "files, folders or globs, as for precis prepare")
        ->required();
    command.add_option("--out", train_tokenizer_.out, "folder to create: tokenizer.model, tokenizer_config.json")
        ->required();
    command.add_option("--vocabulary", train_tokenizer_.vocabulary, "vocabulary size")->check(CLI::Range(260, 1 << 20));
    command.add_option("--bytes-per-document", train_tokenizer_.bytes, "bytes to read from the start of each document")
        ->check(CLI::Range(1, 1 << 30));
    command.add_option("--field", train_tokenizer_.field, "key of the text in jsonl lines");
  }

  void add_synth() {
    CLI::App& command =
        add("synth", "generate a question-answering set in MRQA format", [this] { run_synth(out_, synth_); });
    command.add_option("--out", out_, "file to write (.jsonl)")->required();
    command.add_option("--count", synth_.count, "contexts")
        ->required()
        ->check(CLI::Range(int64_t{1}, int64_t{100000000}));
    command.add_option("--seed", synth_.seed, "random seed")->required();
    command.add_option("--kind", synth_.kind, "recall, yes-no, or icl (labelled demonstrations)")
        ->check(CLI::IsMember({"recall", "yes-no", "icl"}));
    command.add_option("--questions", synth_.questions, "questions per context")->check(CLI::Range(1, 3));
    command.add_option("--entities", synth_.entities, "passages per context")->check(CLI::Range(1, 100));
    command.add_option("--split", synth_.split, "train or eval, with disjoint invented names")
        ->check(CLI::IsMember({"train", "eval"}));
  }

  void add_prepare() {
    PrepareCommand& c = prepare_;
    CLI::App& command = add("prepare", "tokenise a text corpus for training", [this] { run_prepare(prepare_); });
    add_list(command, "sources", c.options.sources,
             "text, Markdown or jsonl files (.gz, .xz, .zst), tar archives of them, folders, globs")
        ->required();
    command.add_option("--tokenizer", c.tokenizer, "tokenizer file or folder, or GGUF file")->required();
    command.add_option("--out", c.out, "folder for the shards; resumes an interrupted run")->required();
    command.add_option("--field", c.options.field, "key of the text in jsonl lines");
    command
        .add_option("--separator", c.options.separator,
                    "separator of documents: bos before each, eos after each, none, or auto")
        ->check(CLI::IsMember({"auto", "bos", "eos", "none"}));
    command.add_option("--shard-tokens", c.options.shard_tokens, "end a shard after this many tokens")
        ->check(CLI::Range(int64_t{1}, int64_t{1} << 32));
    command.add_option("--jobs", c.options.jobs, "tokenising threads; 0: one per core")->check(CLI::Range(0, 1024));
    command.add_flag("--json", c.json, "print the result as a JSON line");
  }

  void add_import() {
    ImportCommand& c = import_;
    CLI::App& command = add("import", "convert another project's checkpoint to a run folder",
                            [this] { run_import(import_, registry_); });
    command.add_option("source", c.source, "folder to read")->required();
    command.add_option("overrides", c.overrides, "key=value settings that the folder does not contain");
    command.add_option("--from", c.from, "comprexit: a checkpoint of the ComprExIT repository; peft: a LoRA adapter")
        ->required()
        ->check(CLI::IsMember({"comprexit", "peft"}));
    command.add_option("--out", c.out, "run folder to create")->required();
    command.add_option("--model", c.run.model, "base model of the checkpoint")->required();
    add_dtype(command, c.run);
    command.add_option("--config", c.config_file,
                       "with --from peft: configuration of the compressor around the adapter");
    add_list(command, "--ignore", c.ignore, "with --from comprexit: unknown fields to ignore");
  }

  void add_export() {
    ExportCommand& c = export_;
    CLI::App& command = add("export", "write a trained compressor in another project's format",
                            [this] { run_export(export_, registry_); });
    command.add_option("run", c.run.compressor, "run folder or exported compressor")->required();
    command.add_option("--to", c.to, "comprexit: the ComprExIT repository's format; peft: the LoRA adapter")
        ->required()
        ->check(CLI::IsMember({"comprexit", "peft"}));
    command.add_option("--out", c.out, "folder to create")->required();
    add_checkpoint(command, c.run);
    command.add_option("--model", c.run.model, "base model; default: the model of its run");
    add_dtype(command, c.run);
  }

  const CompressorRegistry& registry_;
  CLI::App app_{"precis: chunked soft-prompt compressors around a frozen language model", "precis"};
  std::vector<std::pair<const CLI::App*, std::function<void()>>> actions_;
  std::string config_file_, bench_task_, bench_trace_, dataset_, predictions_, tokenizer_, path_, out_;
  std::vector<std::string> overrides_;
  bool print_config_ = false, print_schema_ = false, print_docs_ = false, json_ = false, quiet_ = false,
       dry_run_ = false, list_ = false, decode_ = false, special_ = false;
  SynthOptions synth_;
  PrepareCommand prepare_;
  PretrainCommand pretrain_;
  TrainTokenizerCommand train_tokenizer_;
  AttentionCommand attention_;
  CompressCommand compress_;
  GenerateCommand generate_;
  ImportCommand import_;
  ExportCommand export_;
};

}  // namespace

int run_command_line(std::vector<std::string> words, const CompressorRegistry& registry) {
  return CommandLine(registry).run(std::move(words));
}

}  // namespace precis

#include "precis/app/program.h"

#include <c10/util/Exception.h>

#include <CLI/CLI.hpp>
#include <cstdio>

#include "commands.h"
#include "precis/config/schema.h"
#include "precis/core/error.h"
#include "precis/core/file.h"
#include "precis/core/interrupt.h"
#include "precis/core/log.h"
#include "precis/core/strings.h"
#include "precis/data/synth.h"
#include "precis/text/utf8.h"

namespace precis {
namespace {

struct Arguments {
  std::string config_file;
  std::vector<std::string> overrides;
  bool print_config = false, print_schema = false, print_docs = false, json = false, quiet = false, dry_run = false;
};

void add_config_arguments(CLI::App& command, Arguments& a) {
  command.add_option("--config", a.config_file, "configuration file (JSON with // comments)");
  command.add_option("overrides", a.overrides, "key=value settings, which win over the file");
  command.add_flag("--print-config", a.print_config, "print the resolved configuration and stop");
  command.add_flag("--json", a.json, "results as JSON lines");
}

void add_run_arguments(CLI::App& command, RunOptions& o) {
  command.add_option("--compressor", o.compressor, "run folder or exported compressor")->required();
  command.add_option("--model", o.model, "the model it was trained around; default: the one of its run");
  command.add_option("--dtype", o.dtype, "of the model's weights")
      ->check(CLI::IsMember({"auto", "float32", "bfloat16"}));
  command.add_option("--device", o.device)->check(CLI::IsMember({"cpu", "cuda"}));
  command.add_option("--ratio", o.ratio, "of new memories, where training drew from several; default: the first")
      ->check(CLI::Range(1, 1 << 30));
  command.add_option("--threads", o.threads, "processor threads; 0: all")->check(CLI::Range(0, 4096));
}

void add_import_arguments(CLI::App& command, ImportCommand& c) {
  command.add_option("source", c.source, "the folder to read")->required();
  command.add_option("overrides", c.overrides, "key=value settings for what the folder does not say");
  command.add_option("--from", c.from, "comprexit: a checkpoint of the ComprExIT repository; peft: a LoRA adapter")
      ->required()
      ->check(CLI::IsMember({"comprexit", "peft"}));
  command.add_option("--out", c.out, "the run folder to make")->required();
  command.add_option("--model", c.run.model, "the base model it was trained around")->required();
  command.add_option("--dtype", c.run.dtype)->check(CLI::IsMember({"auto", "float32", "bfloat16"}));
  command.add_option("--config", c.config_file, "with --from peft: configuration of the compressor around the adapter");
  command.add_option("--ignore", c.ignore, "with --from comprexit: unknown fields that may be left out");
}

void add_export_arguments(CLI::App& command, ExportCommand& c) {
  command.add_option("run", c.run.compressor, "run folder or exported compressor")->required();
  command.add_option("--to", c.to, "comprexit: as the ComprExIT repository writes it; peft: the LoRA adapter")
      ->required()
      ->check(CLI::IsMember({"comprexit", "peft"}));
  command.add_option("--out", c.out, "the folder to make")->required();
  command.add_option("--model", c.run.model, "the base model; default: the one of its run");
  command.add_option("--dtype", c.run.dtype)->check(CLI::IsMember({"auto", "float32", "bfloat16"}));
}

void add_compress_arguments(CLI::App& command, CompressCommand& c) {
  add_run_arguments(command, c.run);
  command.add_option("--text", c.text, "a text file, or - for standard input");
  command.add_option("--jsonl", c.jsonl, "many documents, one JSON object a line (also .gz, or - for standard input)");
  command.add_option("--text-field", c.text_field, "with --jsonl: key of the text");
  command.add_option("--id-field", c.id_field, "with --jsonl: key of the id, which names the memory file");
  command.add_option("--append", c.append, "a memory file that this text goes on from");
  command.add_option("--out", c.out, "the memory file to write; with --jsonl a folder of them")->required();
  command.add_option("--store", c.store, "dtype of the stored memory; default: as computed")
      ->check(CLI::IsMember({"float32", "bfloat16"}));
  command.add_option("--batch", c.batch, "with --jsonl: documents compressed at once")->check(CLI::Range(1, 65536));
  command.add_flag("--json", c.json, "a JSON line per memory file");
}

void add_generate_arguments(CLI::App& command, GenerateCommand& c) {
  add_run_arguments(command, c.run);
  command.add_option("--memory", c.memories, "memory files, read one after the other in the order given");
  command.add_option("--text", c.texts, "text files to compress now, instead of memory files");
  command.add_flag("--each", c.each, "answer from each memory by itself, all in one batch");
  command.add_option("--prompt", c.prompt, "text that follows the memory, as it is");
  command.add_option("--question", c.question, "a question, put into the query template of the compressor's training");
  command.add_option("--max-new-tokens", c.options.max_new_tokens)->check(CLI::Range(1, 1 << 20));
  command.add_option("--temperature", c.options.temperature, "0: greedy")->check(CLI::Range(0.0, 100.0));
  command.add_option("--top-k", c.options.top_k, "sample among the k most likely tokens; 0: all")
      ->check(CLI::Range(0, 1 << 24));
  command.add_option("--top-p", c.options.top_p, "sample among the likeliest tokens of this total probability")
      ->check(CLI::Range(0.0, 1.0));
  command.add_option("--seed", c.options.seed, "of sampling");
  command.add_option("--stop", c.stops, "texts that end the answer (left out of it)");
  command.add_flag("--json", c.json, "a JSON line with the text and its cost, not streamed");
}

// The resolved configuration, or nothing if printing it was all that was asked for.
std::optional<Config> resolved(const Arguments& a) {
  for (const auto& text : a.overrides) {
    if (first_invalid_utf8(text) != std::string::npos)
      throw Error({.what = "not valid UTF-8", .where = "command line"});
  }
  Config config = resolve_config(config_layers(a.config_file, a.overrides));
  if (!a.print_config) return config;
  std::printf("%s\n", to_json(config).dump(2).c_str());
  return std::nullopt;
}

void run_synth(const std::string& out, const SynthOptions& options) {
  write_file_atomically(out, [&](std::ostream& stream) { write_synth(stream, options); });
  log::info(cat(out, ": ", options.count, " contexts with ", options.questions, " questions each, split ",
                options.split, ", seed ", options.seed));
}

int report_error(const std::exception& e, int code) {
  std::fprintf(stderr, "precis: %s\n", e.what());
  return code;
}

// "precis-train ..." is "precis train ...".
std::vector<std::string> words_of(int argc, char** argv) {
  std::vector<std::string> words(argv + 1, argv + argc);
  const std::string name = std::filesystem::path(argv[0]).filename().string();
  if (name == "precis-train" || name == "precis-eval") words.insert(words.begin(), name.substr(7));
  return words;
}

int parse_and_run(int argc, char** argv, const CompressorRegistry& registry) {
  CLI::App app{"precis: chunked soft-prompt compressors around a frozen language model", "precis"};
  app.require_subcommand(0, 1);
  app.set_version_flag("--version", PRECIS_VERSION);
  Arguments a;
  app.add_flag("--print-schema", a.print_schema, "print the configuration's JSON Schema");
  app.add_flag("--print-docs", a.print_docs, "print docs/config.md");
  app.add_flag("--quiet", a.quiet, "warnings and errors only");

  auto* train = app.add_subcommand("train", "train a compressor; run again in the same run.dir, it resumes");
  auto* eval = app.add_subcommand("eval", "answer questions from memories and from the references; write a report");
  auto* score = app.add_subcommand("score", "exact match and F1 of a predictions file");
  auto* tokenize =
      app.add_subcommand("tokenize", "standard input: a JSON string a line; output: a JSON array of ids a line");
  auto* inspect = app.add_subcommand("inspect", "what a checkpoint, GGUF, run folder or tokenizer holds");
  auto* synth = app.add_subcommand("synth", "write a generated fact-recall set in MRQA format");
  auto* bench = app.add_subcommand("bench", "measure speed and memory, each measurement in a process of its own");
  std::string bench_task;
  bench->add_option("--task", bench_task, "one measurement, in this process (JSON)");
  for (auto* command : {train, eval, bench}) {
    add_config_arguments(*command, a);
    command->add_flag("--print-schema", a.print_schema, "print the configuration's JSON Schema");
    command->add_flag("--quiet", a.quiet, "warnings and errors only");
  }
  auto* compress = app.add_subcommand("compress", "compress texts into memory files");
  auto* generate = app.add_subcommand("generate", "continue a prompt that reads memories");
  train->add_flag("--dry-run", a.dry_run,
                  "print the plan and stop; model.shape stands in for a model that is not here");
  CompressCommand compress_command;
  add_compress_arguments(*compress, compress_command);
  GenerateCommand generate_command;
  add_generate_arguments(*generate, generate_command);
  auto* import_from = app.add_subcommand("import", "make a run folder of somebody else's checkpoint");
  auto* export_to = app.add_subcommand("export", "write a trained compressor in somebody else's format");
  ImportCommand import_command;
  add_import_arguments(*import_from, import_command);
  ExportCommand export_command;
  add_export_arguments(*export_to, export_command);
  std::string dataset, predictions, tokenizer, path, out;
  bool decode = false, special = false;
  SynthOptions synth_options;
  score->add_option("dataset", dataset, "SQuAD JSON or MRQA jsonl(.gz)")->required();
  score->add_option("predictions", predictions, "JSON: question id to text")->required();
  tokenize->add_option("--tokenizer", tokenizer, "tokenizer file or folder, or a GGUF file")->required();
  tokenize->add_flag("--decode", decode, "ids to text");
  tokenize->add_flag("--special", special, "read special tokens in the text; with --decode leave them out");
  inspect->add_option("path", path)->required();
  inspect->add_flag("--json", a.json, "one line");
  synth->add_option("--out", out, "file to write (.jsonl)")->required();
  synth->add_option("--count", synth_options.count, "contexts")
      ->required()
      ->check(CLI::Range(int64_t{1}, int64_t{100000000}));
  synth->add_option("--seed", synth_options.seed, "seed")->required();
  synth->add_option("--questions", synth_options.questions, "questions a context")->check(CLI::Range(1, 3));
  synth->add_option("--entities", synth_options.entities, "passages a context")->check(CLI::Range(1, 100));
  synth->add_option("--split", synth_options.split, "train or eval: disjoint invented names")
      ->check(CLI::IsMember({"train", "eval"}));

  std::vector<std::string> words = words_of(argc, argv);
  std::reverse(words.begin(), words.end());  // CLI11 takes them last first
  try {
    app.parse(words);
  } catch (const CLI::ParseError& e) {
    return app.exit(e) == 0 ? 0 : 2;
  }
  if (a.quiet) log::set_level(log::Level::warn);
  if (a.print_schema) return std::printf("%s\n", json_schema().dump(2).c_str()), 0;
  if (a.print_docs) return std::fputs(markdown_reference().c_str(), stdout), 0;
  if (train->parsed()) {
    if (const auto config = resolved(a)) a.dry_run ? run_plan(*config, registry) : run_train(*config, registry, a.json);
  } else if (eval->parsed()) {
    if (const auto config = resolved(a)) run_eval(*config, registry, a.json);
  } else if (bench->parsed()) {
    if (const auto config = resolved(a))
      bench_task.empty() ? run_bench(*config, registry) : run_bench_here(*config, bench_task, registry);
  } else if (compress->parsed()) {
    run_compress(compress_command, registry);
  } else if (generate->parsed()) {
    run_generate(generate_command, registry);
  } else if (import_from->parsed()) {
    run_import(import_command, registry);
  } else if (export_to->parsed()) {
    run_export(export_command, registry);
  } else if (score->parsed()) {
    run_score(dataset, predictions);
  } else if (tokenize->parsed()) {
    run_tokenize(tokenizer, decode, special);
  } else if (inspect->parsed()) {
    run_inspect(path, a.json);
  } else if (synth->parsed()) {
    run_synth(out, synth_options);
  } else {
    std::fputs(app.help().c_str(), stderr);
    return 2;
  }
  return 0;
}

}  // namespace

int run_program(int argc, char** argv, const CompressorRegistry& registry) {
  install_interrupt_handlers();
  try {
    return parse_and_run(argc, argv, registry);
  } catch (const Error& e) {
    return report_error(e, e.exit_code());
  } catch (const std::bad_alloc& e) {
    return report_error(e, 3);
  } catch (const c10::Error& e) {
    const std::string message = e.what_without_backtrace();
    const bool out_of_memory = message.find("can't allocate memory") != std::string::npos ||
                               message.find("out of memory") != std::string::npos;
    std::fprintf(stderr, "precis: %s: %s\n", out_of_memory ? "out of memory" : "internal error",
                 excerpt(message, 400).c_str());
    return out_of_memory ? 3 : 1;
  } catch (const std::filesystem::filesystem_error& e) {
    return report_error(e, 2);
  } catch (const std::exception& e) {
    std::fprintf(stderr, "precis: internal error: %s\n", e.what());
    return 1;
  }
}

}  // namespace precis

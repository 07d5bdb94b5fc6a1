// One function per command; each reads its settings and prints its result.
#pragma once

#include <string>
#include <vector>

#include "precis/compress/compressor.h"
#include "precis/config/schema.h"
#include "precis/data/prepared.h"
#include "precis/data/ruler.h"
#include "precis/data/synth.h"
#include "precis/eval/compare.h"
#include "precis/model/generate.h"
#include "precis/serve/server.h"
#include "precis/train/pretrain.h"

namespace CLI {
class App;
}

namespace precis {

// Selects a trained compressor and its model.
struct RunOptions {
  std::string compressor, checkpoint, model, dtype, decode_dtype, device = "cpu";  // empty dtypes: the run's own
  int64_t threads = 0, ratio = 0;
};

// Runs the command that the words name, without the program's name. Returns the exit code.
int run_command_line(std::vector<std::string> words, const CompressorRegistry& registry);

void run_train(const Config& config, const CompressorRegistry& registry, bool json);
void run_eval(const Config& config, const CompressorRegistry& registry, bool json);

struct ScoreCommand {
  std::string dataset, predictions;
  std::vector<std::string> metrics;  // empty: exact match and F1
  bool json = false;                 // the result is a JSON line in any case
};
void run_score(const ScoreCommand& command, const DataConfig& data);

struct CompareCommand {
  std::vector<std::string> reports;
  CompareOptions options;
  std::string format = "markdown";
  bool json = false;
};
void run_compare(const CompareCommand& command);

void run_tokenize(const std::string& tokenizer, bool decode, bool special);
void run_inspect(const std::string& path, bool json);

// Attention of a trained run's memory rows over a text, or of the same compressor before training.
struct AttentionCommand {
  RunOptions run;
  std::string text;
  bool untrained = false, json = false;
};
void run_attention(const AttentionCommand& command, const CompressorRegistry& registry);

// The encoder's mask and positions over `length` tokens, as the configuration's compressor has them.
void run_mask(const Config& config, int64_t length, bool json, const CompressorRegistry& registry);

void run_bench(const Config& config, const std::string& trace, const CompressorRegistry& registry);
void run_bench_here(const Config& config, const std::string& task, const std::string& trace,
                    const CompressorRegistry& registry);
void run_plan(const Config& config, const CompressorRegistry& registry);  // train --dry-run

// `list`: print the plan only.
void run_sweep_command(const std::vector<ConfigLayer>& layers, bool list, bool json,
                       const CompressorRegistry& registry);

struct SynthCommand {
  SynthOptions passages;
  RulerOptions ruler;  // kind, count and seed are those of `passages`
  std::string out, tokenizer;
};
void run_synth(const SynthCommand& command);

struct PrepareCommand {
  PrepareOptions options;
  std::string tokenizer, out;
  bool json = false;
};
void run_prepare(const PrepareCommand& command);

struct PretrainCommand {
  PretrainOptions options;
  std::string out;
  int64_t threads = 0;
};
void run_pretrain(const PretrainCommand& command);

struct TrainTokenizerCommand {
  std::vector<std::string> sources;
  std::string out, field = "text";
  int64_t vocabulary = 4096, bytes = 50000;
};
void run_train_tokenizer(const TrainTokenizerCommand& command);

struct CompressCommand {
  RunOptions run;
  std::string text, jsonl, append, out, text_field = "text", id_field = "id", store;
  int64_t batch = 8, segments_at_once = 16;
  bool json = false;
};
void run_compress(const CompressCommand& command, const CompressorRegistry& registry);

struct GenerateCommand {
  RunOptions run;
  std::vector<std::string> memories, texts, stops;
  std::string prompt, question;
  GenerateOptions options;
  int64_t segments_at_once = 16;
  bool each = false, json = false;
};
void run_generate(const GenerateCommand& command, const CompressorRegistry& registry);

// Questions about one text, answered from its memory and, with `full`, from all of its tokens.
struct AskCommand {
  RunOptions run;
  std::string text;
  std::vector<std::string> questions, stops;  // without questions: one on each line of standard input
  GenerateOptions options;
  int64_t segments_at_once = 16;
  bool full = false, json = false;
};
void run_ask(const AskCommand& command, const CompressorRegistry& registry);

struct ServeCommand {
  RunOptions run;
  std::vector<std::string> compressors;  // FOLDER or NAME=FOLDER
  ServeOptions options;
};
void run_serve(const ServeCommand& command, const CompressorRegistry& registry);

struct ImportCommand {
  RunOptions run;  // model, dtype, device
  std::string from, source, out, config_file;
  std::vector<std::string> ignore, overrides;
};
void run_import(const ImportCommand& command, const CompressorRegistry& registry);

struct ExportCommand {
  RunOptions run;
  std::string to, out, store, base_name;  // base_name: of the model card; empty: that of the file or folder
};
void run_export(const ExportCommand& command, const CompressorRegistry& registry);

std::string commands_reference(const CLI::App& app);  // docs/cli.md
void run_explain(const std::string& key, const CompressorRegistry& registry);
void run_methods(const std::string& name, bool json, const CompressorRegistry& registry);  // empty name: all
void run_doctor(bool json);

struct ConfigsCommand {
  std::string action = "list", name, to = ".";  // list, show or copy
  bool json = false;
};
void run_configs(const ConfigsCommand& command);
// `app`: the program's commands.
void run_completion(const std::string& shell, const CLI::App& app, const CompressorRegistry& registry);

// Threads and determinism, for the whole process.
void set_up_libtorch(const Config& config);

// The decoder and tokenizer of a configuration, with LibTorch set up for it.
struct Workspace {
  std::shared_ptr<const Decoder> decoder;
  std::unique_ptr<class Tokenizer> tokenizer;
};
Workspace open_workspace(const Config& config);

// A trained compressor with its decoder and tokenizer; `config` is its run's, with the options' model and device.
struct OpenRun {
  Config config;
  std::shared_ptr<const Decoder> decoder;
  std::shared_ptr<class Tokenizer> tokenizer;
  std::shared_ptr<Compressor> compressor;
};
OpenRun open_run(const RunOptions& options, const CompressorRegistry& registry);

}  // namespace precis

// The program's commands. Each group of them is declared in a file of its own.
#pragma once

#include <CLI/CLI.hpp>

#include "commands.h"

namespace precis {

class CommandLine {
 public:
  explicit CommandLine(const CompressorRegistry& registry);

  // Runs the command that the words name; returns the exit code.
  int run(std::vector<std::string> words);

  // A command of the group that is being added, with its action.
  CLI::App& add(const std::string& name, const std::string& about, std::function<void()> action);

  // A command that takes the configuration, --json and --quiet. With --print-config, prints the configuration and does
  // not run `action`.
  CLI::App& add_configured(const std::string& name, const std::string& about,
                           std::function<void(const Config&)> action);

  // The options of the configuration alone, for commands that read a part of it.
  void take_configuration(CLI::App& command);

  const CompressorRegistry& registry() const { return registry_; }
  std::vector<ConfigLayer> layers() const;  // the configuration on the command line
  Config config() const;
  const CLI::App& app() const { return app_; }
  bool json() const { return json_; }

 private:
  // Throws Error for an unknown command or option, with the nearest known one.
  void explain_unknown(const std::vector<std::string>& words) const;
  void add_group(const std::string& name, void (*add_commands)(CommandLine&));

  const CompressorRegistry& registry_;
  CLI::App app_{"precis: chunked soft-prompt compressors around a frozen language model", "precis"};
  std::string group_;
  std::vector<std::pair<const CLI::App*, std::function<void()>>> actions_;
  std::string config_file_;
  std::vector<std::string> overrides_;
  bool print_config_ = false, print_diff_ = false, print_schema_ = false, print_docs_ = false, print_cli_ = false,
       json_ = false, quiet_ = false;
};

void add_training_commands(CommandLine& line);    // train, prepare, pretrain, train-tokenizer
void add_comparing_commands(CommandLine& line);   // eval, sweep, bench, score, compare
void add_using_commands(CommandLine& line);       // compress, ask, generate, serve
void add_converting_commands(CommandLine& line);  // import, export
// inspect, mask, explain, methods, configs, doctor, tokenize, synth, completion
void add_tool_commands(CommandLine& line);

// Options that several commands have.
void add_run_options(CLI::App& command, RunOptions& options);
void add_checkpoint_option(CLI::App& command, RunOptions& options);
void add_dtype_option(CLI::App& command, RunOptions& options);
void add_segments_at_once(CLI::App& command, int64_t& value);

// An option that may be repeated, each word taken as it is: CLI11 would read "[x]" as a list of its own. Paths without
// an option's name are lists by themselves; CommandLine::run writes "[x]" as "./[x]" there.
CLI::Option* add_words(CLI::App& command, const std::string& name, std::vector<std::string>& words,
                       const std::string& about);

// Numbers between both; not NaN, which CLI11's range lets through.
CLI::Validator between_numbers(double low, double high);

}  // namespace precis

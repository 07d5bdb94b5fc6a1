#include "command_line.h"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <map>

#include "precis/config/schema.h"
#include "precis/core/error.h"
#include "precis/core/log.h"
#include "precis/core/strings.h"
#include "precis/text/utf8.h"

namespace precis {
namespace {

// An example or two for the end of each command's help.
const std::map<std::string, std::vector<std::string>> examples = {
    {"train", {"precis train --config configs/quickstart/sac.json run.dir=runs/mine compressor.ratio=8"}},
    {"prepare", {"precis prepare books/ notes.jsonl.zst --tokenizer MODEL --out corpora/mine"}},
    {"pretrain", {"precis pretrain --out runs/decoder --steps 9000"}},
    {"train-tokenizer", {"precis train-tokenizer books/ --vocabulary 4096 --out runs/tokenizer"}},
    {"eval",
     {"precis eval --config configs/quickstart/eval.json eval.compressors=runs/mine run.dir=runs/report",
      "precis eval --config configs/quickstart/eval.json eval.compressors= --memories FOLDER run.dir=runs/report"}},
    {"sweep",
     {"precis sweep --config configs/sweeps/pic.json --list",
      "precis sweep --config configs/sweeps/pic.json --methods pic,icae --ratios 4,16 --seeds 1,2"}},
    {"bench", {"precis bench model.path=MODEL bench.jobs=compress,train_step"}},
    {"score", {"precis score dev-v1.1.json predictions.json --metric em"}},
    {"compare", {"precis compare runs/report-1 runs/report-2"}},
    {"compress",
     {"precis compress --compressor runs/mine --text report.txt --out report.safetensors",
      "precis compress --compressor runs/mine --append report.safetensors --text more.txt --out both.safetensors"}},
    {"ask", {"precis ask --compressor assets/smollm2-sac-4x --text report.txt --full --question \"Who signed it?\""}},
    {"generate", {"precis generate --compressor runs/mine --memory report.safetensors --question \"Who signed it?\""}},
    {"serve", {"precis serve --compressor runs/mine --memories memories"}},
    {"import", {"precis import FOLDER --from comprexit --model MODEL --out runs/theirs"}},
    {"export",
     {"precis export runs/mine --to precis --store bfloat16 --out mine",
      "precis export runs/mine --to transformers --out mine-for-transformers"}},
    {"inspect", {"precis inspect report.safetensors", "precis inspect runs/mine --attention report.txt"}},
    {"mask", {"precis mask --length 16 compressor.mask.preset=pic-strict"}},
    {"explain", {"precis explain train.lr"}},
    {"methods", {"precis methods", "precis methods comprexit"}},
    {"configs", {"precis configs show quickstart/sac", "precis configs copy quickstart/sac --to mine"}},
    {"doctor", {"precis doctor"}},
    {"tokenize", {"echo '\"some text\"' | precis tokenize --tokenizer MODEL"}},
    {"synth", {"precis synth --out train.jsonl --count 1000 --seed 1"}},
    {"completion", {"source <(precis completion bash)"}},
};

std::string examples_of(const std::string& command) {
  const auto found = examples.find(command);
  return found == examples.end() ? "" : cat("Examples:\n  ", join(found->second, "\n  "));
}

}  // namespace

CommandLine::CommandLine(const CompressorRegistry& registry) : registry_(registry) {
  app_.require_subcommand(0, 1);
  app_.option_defaults()->always_capture_default();  // --help shows them
  app_.set_version_flag("--version", PRECIS_VERSION);
  app_.add_flag("--print-schema", print_schema_, "print the configuration's JSON Schema");
  app_.add_flag("--print-docs", print_docs_, "print docs/config.md");
  app_.add_flag("--print-cli", print_cli_, "print docs/cli.md");
  app_.add_flag("--quiet", quiet_, "log warnings and errors only");
  add_group("Train", add_training_commands);
  add_group("Compare", add_comparing_commands);
  add_group("Use", add_using_commands);
  add_group("Convert", add_converting_commands);
  add_group("Tools", add_tool_commands);
}

void CommandLine::add_group(const std::string& name, void (*add_commands)(CommandLine&)) {
  group_ = name;
  add_commands(*this);
}

int CommandLine::run(std::vector<std::string> words) {
  for (size_t i = 1; i < words.size(); ++i) {  // CLI11 would read a path in brackets as a list
    const bool is_path = words[i].starts_with('[') && words[i].ends_with(']') && !words[i - 1].starts_with("--");
    if (is_path) words[i].insert(0, "./");
  }
  try {
    app_.parse(std::vector<std::string>(words.rbegin(), words.rend()));  // CLI11 expects the last argument first
  } catch (const CLI::ParseError& e) {
    if (e.get_exit_code() != 0) explain_unknown(words);
    return app_.exit(e) == 0 ? 0 : 2;
  }
  if (quiet_) log::set_level(log::Level::warn);
  if (print_schema_) return std::printf("%s\n", json_schema(registry_.methods()).dump(2).c_str()), 0;
  if (print_docs_) return std::fputs(markdown_reference(registry_.methods()).c_str(), stdout), 0;
  if (print_cli_) return std::fputs(commands_reference(app_).c_str(), stdout), 0;
  for (const auto& [command, action] : actions_) {
    if (command->parsed()) return action(), 0;
  }
  std::fputs(app_.help().c_str(), stderr);
  return 2;
}

void CommandLine::explain_unknown(const std::vector<std::string>& words) const {
  std::vector<std::string> names;
  for (const CLI::App* command : app_.get_subcommands({})) names.push_back(command->get_name());
  const auto named = std::find_if(words.begin(), words.end(), [](const auto& word) { return !word.starts_with("-"); });
  if (named == words.end()) return;
  const auto refuse = [](const char* what, const std::string& word, const std::vector<std::string>& known) {
    const std::string near = nearest_word(word, known);
    throw Error({.what = cat("unknown ", what),
                 .where = "command line",
                 .found = word,
                 .hint = near.empty() ? "--help lists them" : cat("did you mean ", near, "?")});
  };
  if (std::find(names.begin(), names.end(), *named) == names.end()) refuse("command", *named, names);
  const CLI::App* command = app_.get_subcommand(*named);
  std::vector<std::string> options;
  for (const CLI::Option* option : command->get_options()) {
    for (const auto& name : option->get_lnames()) options.push_back("--" + name);
  }
  for (auto word = named + 1; word != words.end(); ++word) {
    const std::string option = word->substr(0, word->find('='));
    if (option.starts_with("--") && option.size() > 2 &&
        std::find(options.begin(), options.end(), option) == options.end())
      refuse("option", option, options);
  }
}

CLI::App& CommandLine::add(const std::string& name, const std::string& about, std::function<void()> action) {
  CLI::App* command = app_.add_subcommand(name, about)->group(group_);
  command->footer(examples_of(name));
  actions_.emplace_back(command, std::move(action));
  return *command;
}

CLI::App& CommandLine::add_configured(const std::string& name, const std::string& about,
                                      std::function<void(const Config&)> action) {
  CLI::App& command = add(name, about, [this, action = std::move(action)] {
    const Config config = this->config();
    if (!print_config_ && !print_diff_) return action(config);
    const Json shown = print_diff_ ? changed_settings(config, std::filesystem::current_path()) : to_json(config);
    std::printf("%s\n", shown.dump(2).c_str());
  });
  take_configuration(command);
  command.add_flag("--print-config", print_config_, "print the resolved configuration and exit");
  command.add_flag("--diff", print_diff_, "print the settings that differ from the defaults and exit");
  command.add_flag("--print-schema", print_schema_, "print the configuration's JSON Schema and exit");
  command.add_flag("--json", json_, "print results as JSON lines");
  command.add_flag("--quiet", quiet_, "log warnings and errors only");
  return command;
}

void CommandLine::take_configuration(CLI::App& command) {
  command.add_option("--config", config_file_, "configuration file (JSON with // comments)");
  command.add_option("overrides", overrides_, "key=value settings, which override the file");
}

Config CommandLine::config() const { return resolve_config(layers(), registry_.methods()); }

std::vector<ConfigLayer> CommandLine::layers() const {
  for (const auto& text : overrides_) {
    if (first_invalid_utf8(text) != std::string::npos)
      throw Error({.what = "not valid UTF-8", .where = "command line"});
  }
  return config_layers(config_file_, overrides_);
}

void add_checkpoint_option(CLI::App& command, RunOptions& o) {
  command.add_option("--checkpoint", o.checkpoint,
                     "last, best (of train.keep_best) or a step of the run; default: its export");
}

void add_dtype_option(CLI::App& command, RunOptions& o) {
  command.add_option("--dtype", o.dtype, "dtype of the model's weights; default: that of the run, else auto")
      ->check(CLI::IsMember({"auto", "float32", "bfloat16"}));
}

CLI::Validator between_numbers(double low, double high) {
  const std::string about = cat(low, " to ", high);
  return CLI::Validator(
      [=](const std::string& text) {
        double value = NAN;
        return CLI::detail::lexical_cast(text, value) && value >= low && value <= high ? "" : "expected " + about;
      },
      about);
}

CLI::Option* add_words(CLI::App& command, const std::string& name, std::vector<std::string>& words,
                       const std::string& about) {
  return command.add_option(name, words, about)->allow_extra_args(false);
}

void add_segments_at_once(CLI::App& command, int64_t& value) {
  command
      .add_option("--segments-at-once", value,
                  "segments to compress at once; bounds memory in use, does not change the result")
      ->check(CLI::Range(1, 1 << 20));
}

void add_run_options(CLI::App& command, RunOptions& o) {
  command.add_option("--compressor", o.compressor, "run folder or exported compressor")->required();
  command.add_option("--model", o.model, "base model of the compressor; default: the model of its run");
  add_checkpoint_option(command, o);
  add_dtype_option(command, o);
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

int run_command_line(std::vector<std::string> words, const CompressorRegistry& registry) {
  return CommandLine(registry).run(std::move(words));
}

}  // namespace precis

#include "command_line.h"

namespace precis {
namespace {

void add_inspect(CommandLine& line) {
  auto c = std::make_shared<AttentionCommand>();
  CLI::App& command = line.add(
      "inspect", "describe a checkpoint, GGUF, memory file, run folder or tokenizer",
      [&line, c] { c->text.empty() ? run_inspect(c->run.compressor, c->json) : run_attention(*c, line.registry()); });
  command.add_option("path", c->run.compressor, "file or folder")->required();
  command.add_option("--attention", c->text, "text file; show how a run's memory rows attend over it, by layer");
  command.add_flag("--untrained", c->untrained, "with --attention: before training");
  add_checkpoint_option(command, c->run);
  command.add_option("--model", c->run.model, "with --attention: base model, if the run's path has changed");
  command.add_flag("--json", c->json, "print JSON on one line");
}

void add_mask(CommandLine& line) {
  auto length = std::make_shared<int64_t>(16);
  line.add_configured(
          "mask", "print which rows of the encoder attend to which, and their positions",
          [&line, length](const Config& config) { run_mask(config, *length, line.json(), line.registry()); })
      .add_option("--length", *length, "tokens of text; default: 16")
      ->check(CLI::Range(1, 4096));
}

struct TokenizeCommand {
  std::string tokenizer;
  bool decode = false, special = false;
};

void add_tokenize(CommandLine& line) {
  auto c = std::make_shared<TokenizeCommand>();
  CLI::App& command =
      line.add("tokenize", "read one JSON string per line from standard input; print one JSON array of ids per line",
               [c] { run_tokenize(c->tokenizer, c->decode, c->special); });
  command.add_option("--tokenizer", c->tokenizer, "tokenizer file or folder, or GGUF file")->required();
  command.add_flag("--decode", c->decode, "convert ids to text");
  command.add_flag("--special", c->special, "parse special tokens in the text; with --decode: omit them");
}

void add_synth(CommandLine& line) {
  auto c = std::make_shared<SynthCommand>();
  CLI::App& command = line.add("synth", "generate a question-answering set in MRQA format", [c] { run_synth(*c); });
  std::vector<std::string> kinds = {"recall", "yes-no", "icl"};
  kinds.insert(kinds.end(), ruler_kinds().begin(), ruler_kinds().end());
  const CLI::Range positive(int64_t{1}, int64_t{100000000});
  command.add_option("--out", c->out, "file to write (.jsonl)")->required();
  command.add_option("--count", c->passages.count, "contexts; RULER's kinds: for each length and depth")
      ->required()
      ->check(positive);
  command.add_option("--seed", c->passages.seed, "random seed")->required();
  command
      .add_option("--kind", c->passages.kind,
                  "recall, yes-no, icl (labelled demonstrations), or after RULER: niah, vt, cwe, fwe, qa")
      ->check(CLI::IsMember(kinds));
  command.add_option("--questions", c->passages.questions, "questions per context")->check(CLI::Range(1, 3));
  command.add_option("--entities", c->passages.entities, "passages per context")->check(CLI::Range(1, 100));
  command.add_option("--split", c->passages.split, "train or eval, with disjoint invented names")
      ->check(CLI::IsMember({"train", "eval"}));
  command.add_option("--length", c->ruler.lengths, "RULER's kinds: lengths of contexts, such as 4096,8192")
      ->delimiter(',')
      ->check(positive);
  command.add_option("--depth", c->ruler.depths, "niah, qa: places of the answer in percent, such as 0,50,100")
      ->delimiter(',')
      ->check(CLI::Range(0.0, 100.0));
  command.add_option("--tokenizer", c->tokenizer, "RULER's kinds: measure lengths in its tokens; default: in words");
  command.add_option("--needles", c->ruler.needles, "niah: needles with different keys")->check(CLI::Range(1, 1000));
  command.add_option("--values", c->ruler.values, "niah: values of each key, all of them asked")
      ->check(CLI::Range(1, 100));
  command.add_option("--hops", c->ruler.hops, "vt: assignments behind the first")->check(CLI::Range(1, 1000));
  add_words(command, "--haystack", c->ruler.haystack, "niah: text files to hide needles in; default: RULER's noise");
  command.add_option("--data", c->ruler.data, "qa: data set of passages and questions; default: generated ones");
}

void add_explain(CommandLine& line) {
  auto key = std::make_shared<std::string>();
  line.add("explain", "what a setting means, its default and its values",
           [&line, key] { run_explain(*key, line.registry()); })
      .add_option("key", *key, "setting, section or last part of a key, such as train.lr, train or lr")
      ->required();
}

void add_methods(CommandLine& line) {
  auto c = std::make_shared<std::pair<std::string, bool>>();
  CLI::App& command = line.add("methods", "list the compression methods, or show one with the defaults of its forms",
                               [&line, c] { run_methods(c->first, c->second, line.registry()); });
  command.add_option("method", c->first, "method; default: all");
  command.add_flag("--json", c->second, "print JSON lines");
}

void add_configs(CommandLine& line) {
  auto c = std::make_shared<ConfigsCommand>();
  CLI::App& command = line.add("configs", "list, show or copy the ready configurations", [c] { run_configs(*c); });
  command.add_option("action", c->action, "list, show or copy; copy: with the files that it extends")
      ->check(CLI::IsMember({"list", "show", "copy"}));
  command.add_option("name", c->name, "configuration, such as quickstart/sac");
  command.add_option("--to", c->to, "copy: folder that gets configs/...; default: the working directory");
  command.add_flag("--json", c->json, "list: print JSON lines");
}

void add_doctor(CommandLine& line) {
  auto json = std::make_shared<bool>();
  line.add("doctor", "check this machine: processor, threads, memory, disk, GPU, and what they mean for speed",
           [json] { run_doctor(*json); })
      .add_flag("--json", *json, "print JSON lines");
}

void add_completion(CommandLine& line) {
  auto shell = std::make_shared<std::string>();
  line.add("completion", "print a completion script for a shell",
           [&line, shell] { run_completion(*shell, line.app(), line.registry()); })
      .add_option("shell", *shell, "bash or zsh")
      ->required()
      ->check(CLI::IsMember({"bash", "zsh"}));
}

}  // namespace

void add_tool_commands(CommandLine& line) {
  add_inspect(line);
  add_mask(line);
  add_explain(line);
  add_methods(line);
  add_configs(line);
  add_doctor(line);
  add_tokenize(line);
  add_synth(line);
  add_completion(line);
}

}  // namespace precis

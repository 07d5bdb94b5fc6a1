#include "command_line.h"
#include "precis/core/file.h"
#include "precis/core/log.h"
#include "precis/core/strings.h"
#include "precis/data/synth.h"

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

struct SynthCommand {
  std::string out;
  SynthOptions options;
};

void run_synth(const SynthCommand& c) {
  const SynthOptions& o = c.options;
  write_file_atomically(c.out, [&](std::ostream& stream) { write_synth(stream, o); });
  log::info(
      cat(c.out, ": ", o.count, " contexts with ", o.questions, " questions each, split ", o.split, ", seed ", o.seed));
}

void add_synth(CommandLine& line) {
  auto c = std::make_shared<SynthCommand>();
  CLI::App& command = line.add("synth", "generate a question-answering set in MRQA format", [c] { run_synth(*c); });
  command.add_option("--out", c->out, "file to write (.jsonl)")->required();
  command.add_option("--count", c->options.count, "contexts")
      ->required()
      ->check(CLI::Range(int64_t{1}, int64_t{100000000}));
  command.add_option("--seed", c->options.seed, "random seed")->required();
  command.add_option("--kind", c->options.kind, "recall, yes-no, or icl (labelled demonstrations)")
      ->check(CLI::IsMember({"recall", "yes-no", "icl"}));
  command.add_option("--questions", c->options.questions, "questions per context")->check(CLI::Range(1, 3));
  command.add_option("--entities", c->options.entities, "passages per context")->check(CLI::Range(1, 100));
  command.add_option("--split", c->options.split, "train or eval, with disjoint invented names")
      ->check(CLI::IsMember({"train", "eval"}));
}

}  // namespace

void add_tool_commands(CommandLine& line) {
  add_inspect(line);
  add_tokenize(line);
  add_synth(line);
}

}  // namespace precis

#include "command_line.h"

namespace precis {
namespace {

void add_import(CommandLine& line) {
  auto c = std::make_shared<ImportCommand>();
  CLI::App& command = line.add("import", "convert another project's checkpoint to a run folder",
                               [&line, c] { run_import(*c, line.registry()); });
  command.add_option("source", c->source, "folder to read")->required();
  command.add_option("overrides", c->overrides, "key=value settings that the folder does not contain");
  command.add_option("--from", c->from, "comprexit: a checkpoint of the ComprExIT repository; peft: a LoRA adapter")
      ->required()
      ->check(CLI::IsMember({"comprexit", "peft"}));
  command.add_option("--out", c->out, "run folder to create")->required();
  command.add_option("--model", c->run.model, "base model of the checkpoint")->required();
  add_dtype_option(command, c->run);
  command.add_option("--config", c->config_file,
                     "with --from peft: configuration of the compressor around the adapter");
  add_words(command, "--ignore", c->ignore, "with --from comprexit: unknown fields to ignore");
}

void add_export(CommandLine& line) {
  auto c = std::make_shared<ExportCommand>();
  CLI::App& command = line.add(
      "export", "write a trained compressor for others: a small folder of its own, or another project's format",
      [&line, c] { run_export(*c, line.registry()); });
  command.add_option("run", c->run.compressor, "run folder or exported compressor")->required();
  command
      .add_option(
          "--to", c->to,
          "precis: the compressor alone, ready to use; transformers: a folder with adapter, other tensors, model "
          "card and the Python code that compresses with them; comprexit: the ComprExIT repository's format; "
          "peft: the LoRA adapter")
      ->required()
      ->check(CLI::IsMember({"precis", "transformers", "comprexit", "peft"}));
  command.add_option("--store", c->store, "with --to precis: dtype of the stored tensors; default: float32")
      ->check(CLI::IsMember({"float32", "bfloat16"}));
  command.add_option("--out", c->out, "folder to create")->required();
  command.add_option("--base-name", c->base_name,
                     "with --to transformers: the base model's name on the Hugging Face Hub; default: its file's name");
  add_checkpoint_option(command, c->run);
  command.add_option("--model", c->run.model, "base model; default: the model of its run");
  add_dtype_option(command, c->run);
}

}  // namespace

void add_converting_commands(CommandLine& line) {
  add_import(line);
  add_export(line);
}

}  // namespace precis

#include "command_line.h"

namespace precis {
namespace {

void add_compress(CommandLine& line) {
  auto c = std::make_shared<CompressCommand>();
  CLI::App& command =
      line.add("compress", "compress texts into memory files", [&line, c] { run_compress(*c, line.registry()); });
  add_run_options(command, c->run);
  command.add_option("--text", c->text, "text file, or - for standard input");
  command.add_option("--jsonl", c->jsonl, "documents, one JSON object per line (also .gz, or - for standard input)");
  command.add_option("--text-field", c->text_field, "with --jsonl: key of the text");
  command.add_option("--id-field", c->id_field, "with --jsonl: key of the id, which names the memory file");
  command.add_option("--append", c->append, "memory file to append the text to");
  command.add_option("--out", c->out, "memory file to write; with --jsonl: folder of memory files")->required();
  command.add_option("--store", c->store, "dtype of the stored memory; default: as computed")
      ->check(CLI::IsMember({"float32", "bfloat16"}));
  command.add_option("--batch", c->batch, "with --jsonl: documents per batch")->check(CLI::Range(1, 65536));
  add_segments_at_once(command, c->segments_at_once);
  command.add_flag("--json", c->json, "print a JSON line per memory file");
}

void add_ask(CommandLine& line) {
  auto c = std::make_shared<AskCommand>();
  CLI::App& command =
      line.add("ask", "compress a text and answer questions about it", [&line, c] { run_ask(*c, line.registry()); });
  add_run_options(command, c->run);
  command.add_option("--text", c->text, "text file, or - for standard input")->required();
  add_words(command, "--question", c->questions, "questions; default: one on each line of standard input");
  command.add_flag("--full", c->full,
                   "answer from the whole text too, uncompressed, by the prompt eval.prompt of the run");
  add_segments_at_once(command, c->segments_at_once);
  command.add_option("--max-new-tokens", c->options.max_new_tokens, "maximum number of new tokens of an answer")
      ->check(CLI::Range(1, 1 << 20));
  add_words(command, "--stop", c->stops, "stop texts, not included in the answers");
  command.add_flag("--json", c->json, "print JSON lines: the memory, then each question");
}

void add_generate(CommandLine& line) {
  auto c = std::make_shared<GenerateCommand>();
  CLI::App& command = line.add("generate", "generate text from memories and a prompt",
                               [&line, c] { run_generate(*c, line.registry()); });
  add_run_options(command, c->run);
  add_words(command, "--memory", c->memories, "memory files, concatenated in the given order");
  add_words(command, "--text", c->texts, "text files to compress, instead of memory files");
  add_segments_at_once(command, c->segments_at_once);
  command.add_flag("--each", c->each, "answer from each memory separately, in one batch");
  command.add_option("--prompt", c->prompt,
                     "text after the memory, without a template; special tokens' names are parsed");
  command.add_option("--question", c->question, "question, inserted into the query template of the training run");
  command.add_option("--max-new-tokens", c->options.max_new_tokens, "maximum number of new tokens")
      ->check(CLI::Range(1, 1 << 20));
  command.add_option("--temperature", c->options.temperature, "sampling temperature; 0: greedy")
      ->check(between_numbers(0, 100));
  command.add_option("--top-k", c->options.top_k, "sample from the k most likely tokens; 0: all")
      ->check(CLI::Range(0, 1 << 24));
  command.add_option("--top-p", c->options.top_p, "sample from the most likely tokens with this total probability")
      ->check(between_numbers(0, 1));
  command.add_option("--seed", c->options.seed, "random seed for sampling");
  add_words(command, "--stop", c->stops, "stop texts, not included in the answer");
  command.add_flag("--json", c->json, "print a JSON line with the text and its cost instead of streaming");
}

void add_serve(CommandLine& line) {
  auto c = std::make_shared<ServeCommand>();
  CLI::App& command = line.add("serve", "answer questions to stored memories over HTTP, as OpenAI's API does",
                               [&line, c] { run_serve(*c, line.registry()); });
  ServeOptions& o = c->options;
  add_words(
      command, "--compressor", c->compressors,
      "run folders or exported compressors around one model, each as FOLDER or NAME=FOLDER; the first is the default")
      ->required();
  command.add_option("--model", c->run.model, "base model of the compressors; default: the model of the first run");
  add_checkpoint_option(command, c->run);
  add_dtype_option(command, c->run);
  command.add_option("--decode-dtype", c->run.decode_dtype, "dtype of the weights for token-by-token decoding")
      ->check(CLI::IsMember({"same", "bfloat16"}));
  command.add_option("--device", c->run.device, "device: cpu or cuda")->check(CLI::IsMember({"cpu", "cuda"}));
  command.add_option("--threads", c->run.threads, "CPU threads; 0: all")->check(CLI::Range(0, 4096));
  command.add_option("--memories", o.memories, "folder of the memories; created if missing");
  command.add_option("--host", o.host, "address to listen on");
  command.add_option("--port", o.port, "port to listen on; 0: any free one")->check(CLI::Range(0, 65535));
  command.add_option("--api-key-file", o.api_key_file, "file with one API key a line; clients must send one of them");
  command.add_option("--memory-bytes", o.ram_bytes, "bytes of memories to keep in RAM")->check(CLI::NonNegativeNumber);
  command.add_option("--max-body-bytes", o.most_body_bytes, "largest request")->check(CLI::PositiveNumber);
  command.add_option("--max-running", o.engine.most_running, "answers that are generated at the same time")
      ->check(CLI::Range(1, 4096));
  command.add_option("--max-waiting", o.engine.most_waiting, "further requests that wait; beyond it they are refused")
      ->check(CLI::Range(1, 1 << 20));
  command.add_option("--connections", o.connections, "threads for connections")->check(CLI::Range(1, 4096));
  command.add_option("--grace-seconds", o.grace_seconds, "time for running requests after SIGTERM")
      ->check(CLI::Range(0, 86400));
  add_segments_at_once(command, o.engine.segments_at_once);
}

}  // namespace

void add_using_commands(CommandLine& line) {
  add_compress(line);
  add_ask(line);
  add_generate(line);
  add_serve(line);
}

}  // namespace precis

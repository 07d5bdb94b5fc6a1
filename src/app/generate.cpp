#include "precis/model/generate.h"

#include <c10/core/InferenceMode.h>

#include <cstdio>
#include <iostream>

#include "answer.h"
#include "commands.h"
#include "precis/compress/made_by.h"
#include "precis/compress/parts.h"
#include "precis/core/error.h"
#include "precis/core/file.h"
#include "precis/core/strings.h"
#include "precis/data/templates.h"
#include "precis/memory/memory_blocks.h"
#include "precis/memory/memory_file.h"
#include "precis/text/tokenizer.h"
#include "precis/text/utf8.h"

namespace precis {
namespace {

Memory read_memories(const GenerateCommand& command, const OpenRun& run) {
  const std::string hash = compressor_hash(*run.compressor);
  std::vector<Memory> memories;
  for (const auto& path : command.memories) {
    MemoryFile file = load_memory(path);
    require_made_by(file, *run.compressor, hash, path);
    memories.push_back(with_dtype(file.memory, run.decoder->dtype(), run.decoder->device()));
  }
  for (const auto& path : command.texts) {
    const std::string text = read_file(path);
    require_utf8(text, path);
    const TokenIds ids = context_ids(*run.tokenizer, run.config.data, text, run.compressor->context_begins_with_bos());
    memories.push_back(compress_in_parts(*run.compressor, token_batch({ids}), command.segments_at_once));
  }
  return command.each ? stack(memories) : concatenate(memories, *run.decoder);
}

}  // namespace

void run_generate(const GenerateCommand& command, const CompressorRegistry& registry) {
  if (command.prompt.empty() == command.question.empty())
    throw Error({.what = "no prompt", .where = "command line", .expected = "either --prompt or --question"});
  if (command.memories.empty() && command.texts.empty())
    throw Error({.what = "no memory", .where = "command line", .expected = "--memory or --text"});
  if (!command.memories.empty() && !command.texts.empty())
    throw Error({.what = "both memories and texts", .where = "command line", .expected = "--memory or --text"});
  const c10::InferenceMode inference;
  const OpenRun run = open_run(command.run, registry);
  const Memory memory = read_memories(command, run);
  const TokenIds query_ids = command.question.empty() ? run.tokenizer->encode(command.prompt, true)
                                                      : encode_template(*run.tokenizer, run.config.data.query_template,
                                                                        {.question = command.question});
  std::vector<std::string> stops = command.stops;
  if (!command.question.empty() && run.config.data.answer_end == "newline") stops.push_back("\n");
  const int64_t B = memory.contexts();
  const TokenBatch query = token_batch(std::vector<TokenIds>(static_cast<size_t>(B), query_ids));
  const TaskTokens task{Task::qa, query.ids, query.lengths, {}, torch::arange(B)};
  GenerateOptions options = command.options;
  options.end_ids = run.tokenizer->end_ids;
  options.vocabulary = run.tokenizer->vocabulary_size();
  const bool stream = !command.json && B == 1;
  std::vector<Answer> answers(static_cast<size_t>(B), Answer(*run.tokenizer, stops, stream));
  GenerateSeconds seconds;
  generate(
      *run.decoder, run.compressor->prompt(memory, task), options,
      [&](int64_t b, int64_t id) { return answers[static_cast<size_t>(b)].push(id); }, &seconds);
  for (int64_t b = 0; b < B; ++b) {
    Answer& answer = answers[static_cast<size_t>(b)];
    answer.finish();
    const std::string& name = command.memories.empty() ? command.texts[static_cast<size_t>(command.each ? b : 0)]
                                                       : command.memories[static_cast<size_t>(command.each ? b : 0)];
    if (command.json) {
      Json line = {{"text", answer.text()},
                   {"tokens", answer.tokens()},
                   {"memory_entries", memory.lengths[b].item<int64_t>()},
                   {"source_tokens", memory.source_tokens[b].item<int64_t>()},
                   {"prefill_seconds", seconds.prefill},
                   {"decode_seconds", seconds.decode}};
      if (command.each) line["memory"] = name;
      std::printf("%s\n", line.dump(-1, ' ', false, Json::error_handler_t::replace).c_str());
    } else if (stream) {
      std::puts("");
    } else {
      std::printf("%s: %s\n", name.c_str(), answer.text().c_str());
    }
  }
}

}  // namespace precis

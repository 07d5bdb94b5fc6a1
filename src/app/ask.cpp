#include <c10/core/InferenceMode.h>
#include <torch/types.h>
#include <unistd.h>

#include <chrono>
#include <cstdio>
#include <iostream>

#include "answer.h"
#include "commands.h"
#include "precis/compress/parts.h"
#include "precis/core/error.h"
#include "precis/core/file.h"
#include "precis/core/strings.h"
#include "precis/data/templates.h"
#include "precis/eval/reading.h"
#include "precis/text/utf8.h"

namespace precis {
namespace {

using Clock = std::chrono::steady_clock;

double seconds_since(Clock::time_point start) { return std::chrono::duration<double>(Clock::now() - start).count(); }

struct TimedAnswer {
  std::string text;
  int64_t read = 0;  // rows in front of the question's answer: what the decoder reads or holds
  double seconds = 0;
};

// The text given once, then questions about it, answered from its memory or from all of its tokens.
class Asking {
 public:
  Asking(const AskCommand& command, const CompressorRegistry& registry)
      : command_(command), run_(open_run(command.run, registry)), options_(command.options) {
    passage_.context = read_text_file();
    options_.end_ids = run_.tokenizer->end_ids;
    options_.vocabulary = run_.tokenizer->vocabulary_size();
    full_ = read_text(*run_.decoder, *run_.tokenizer, run_.config, "full", run_.compressor->ratio());
    const TokenIds ids =
        context_ids(*run_.tokenizer, run_.config.data, passage_.context, run_.compressor->context_begins_with_bos());
    const auto start = Clock::now();
    memory_ = compress_in_parts(*run_.compressor, token_batch({ids}), command.segments_at_once);
    compress_seconds_ = seconds_since(start);
  }

  void describe() const {
    const DecoderConfig& c = run_.decoder->config();
    const int64_t tokens = memory_.source_tokens[0].item<int64_t>(), entries = memory_.lengths[0].item<int64_t>(),
                  bytes = memory_.bytes(0),
                  bytes_per_token = c.layers * 2 * c.kv_heads * c.head_dim *
                                    static_cast<int64_t>(c10::elementSize(run_.decoder->dtype()));
    if (command_.json) {
      const Json line = {{"source_tokens", tokens},
                         {"memory_entries", entries},
                         {"memory_bytes", bytes},
                         {"full_bytes", tokens * bytes_per_token},
                         {"compress_seconds", compress_seconds_}};
      return void(std::printf("%s\n", line.dump().c_str()));
    }
    const auto megabytes = [](int64_t n) { return fixed(static_cast<double>(n) / (1 << 20), 2); };
    std::printf(
        "%s: %lld tokens -> %lld entries (%s MiB; %s MiB as the keys and values of all tokens), compressed in %s s\n",
        command_.text.c_str(), static_cast<long long>(tokens), static_cast<long long>(entries),
        megabytes(bytes).c_str(), megabytes(tokens * bytes_per_token).c_str(), fixed(compress_seconds_, 2).c_str());
  }

  void ask(const std::string& question) {
    const TimedAnswer memory = from_memory(question);
    const TimedAnswer full = command_.full ? from_text(question) : TimedAnswer{};
    if (command_.json) {
      const auto json = [](const TimedAnswer& a) -> Json {
        return {{"text", a.text}, {"read_rows", a.read}, {"seconds", a.seconds}};
      };
      Json line = {{"question", question}, {"memory", json(memory)}};
      if (command_.full) line["full"] = json(full);
      return void(std::printf("%s\n", line.dump(-1, ' ', false, Json::error_handler_t::replace).c_str()));
    }
    const auto show = [](const char* name, const TimedAnswer& a) {
      std::printf("  %-12s %5lld rows  %5s s  %s\n", name, static_cast<long long>(a.read), fixed(a.seconds, 2).c_str(),
                  std::string(trim(a.text)).c_str());
    };
    std::printf("%s\n", question.c_str());
    show("memory", memory);
    if (command_.full) show("full context", full);
    std::fflush(stdout);
  }

 private:
  std::string read_text_file() const {
    std::string text;
    if (command_.text == "-") {
      text.assign(std::istreambuf_iterator<char>(std::cin), {});
    } else {
      text = read_file(command_.text);
    }
    require_utf8(text, command_.text == "-" ? "standard input" : command_.text);
    if (trim(text).empty()) throw Error({.what = "the text is empty", .where = command_.text});
    return text;
  }

  TimedAnswer from_memory(const std::string& question) const {
    const auto start = Clock::now();
    const TokenBatch query =
        token_batch({encode_template(*run_.tokenizer, run_.config.data.query_template, {.question = question})});
    const TaskTokens task{Task::qa, query.ids, query.lengths, {}, torch::zeros({1}, torch::kLong)};
    const bool one_line = run_.config.data.answer_end == "newline";
    return answer(run_.compressor->prompt(memory_, task), one_line, start);
  }

  TimedAnswer from_text(const std::string& question) const {
    const auto start = Clock::now();
    ReadingCost cost;
    return answer(full_->ask({{.passage = &passage_, .question = question}}, cost),
                  run_.config.eval.answer_cut == "newline", start);
  }

  TimedAnswer answer(const DecoderInput& input, bool one_line, Clock::time_point start) const {
    std::vector<std::string> stops = command_.stops;
    if (one_line) stops.emplace_back("\n");
    Answer answer(*run_.tokenizer, stops, false);
    generate(*run_.decoder, input, options_, [&](int64_t, int64_t id) { return answer.push(id); });
    answer.finish();
    const int64_t past = input.past ? input.past->entries() : 0;
    return {answer.text(), past + input.rows.size(1), seconds_since(start)};
  }

  const AskCommand& command_;
  OpenRun run_;
  GenerateOptions options_;
  Passage passage_;
  std::unique_ptr<Reading> full_;
  Memory memory_;
  double compress_seconds_ = 0;
};

}  // namespace

void run_ask(const AskCommand& command, const CompressorRegistry& registry) {
  if (command.text == "-" && command.questions.empty())
    throw Error(
        {.what = "no question", .where = "command line", .expected = "--question, since the text is standard input"});
  const c10::InferenceMode inference;
  Asking asking(command, registry);
  asking.describe();
  for (const auto& question : command.questions) asking.ask(question);
  if (!command.questions.empty()) return;
  const bool prompt = ::isatty(STDIN_FILENO) != 0;
  if (prompt) std::fputs("Ask a question on each line; end with Ctrl-D.\n", stderr);
  for (std::string line; std::getline(std::cin, line);) {
    const std::string question(trim(line));
    if (question.empty()) continue;
    require_utf8(question, "standard input");
    asking.ask(question);
  }
}

}  // namespace precis

#include "precis/eval/answer.h"

#include <torch/torch.h>

#include <chrono>
#include <cmath>
#include <map>

#include "precis/core/error.h"
#include "precis/core/interrupt.h"
#include "precis/core/strings.h"
#include "precis/eval/metrics.h"
#include "precis/model/generate.h"

namespace precis {
namespace {

double seconds_now() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

void stop_if_interrupted() {
  if (interrupted()) throw Error({.what = "interrupted"}, Error::Kind::interrupted);
}

// Generates until a newline or an end token; appends the cut texts.
void generate_answers(const Decoder& decoder, const Tokenizer& tokenizer, const Config& config,
                      const DecoderInput& input, AnswerSet& out) {
  const GenerateOptions options{.max_new_tokens = config.eval.max_new_tokens, .end_ids = tokenizer.end_ids};
  const auto no_newline = [&](int64_t, int64_t id) {
    return tokenizer.token_bytes(id).find('\n') == std::string::npos;
  };
  GenerateSeconds seconds;
  for (const auto& ids : generate(decoder, input, options, no_newline, &seconds)) {
    out.texts.push_back(cut_answer(tokenizer.decode(ids, true), config.eval.answer_cut));
    out.cost.generated_tokens += static_cast<int64_t>(ids.size());
  }
  out.cost.prefill_seconds += seconds.prefill;
  out.cost.decode_seconds += seconds.decode;
}

}  // namespace

std::vector<AskedQuestion> list_questions(const std::vector<Passage>& passages, int64_t limit) {
  std::vector<AskedQuestion> out;
  for (const auto& passage : passages) {
    for (const auto& question : passage.questions) {
      if (limit > 0 && static_cast<int64_t>(out.size()) == limit) return out;
      out.push_back({&passage, &question});
    }
  }
  return out;
}

AnswerSet answer_from_memory(Compressor& compressor, const Tokenizer& tokenizer, const Config& config,
                             const std::vector<AskedQuestion>& questions, const OnProgress& progress) {
  const torch::NoGradGuard no_gradient;
  AnswerSet out;
  const auto batch = static_cast<size_t>(config.eval.batch);
  for (size_t start = 0; start < questions.size(); start += batch) {
    stop_if_interrupted();
    std::vector<TokenIds> contexts, queries;
    std::vector<int64_t> memory_index;
    std::map<const Passage*, int64_t> index_of;
    for (size_t i = start; i < std::min(start + batch, questions.size()); ++i) {
      const auto& [passage, question] = questions[i];
      const auto [place, is_new] = index_of.emplace(passage, static_cast<int64_t>(contexts.size()));
      if (is_new)
        contexts.push_back(context_ids(tokenizer, config.data, passage->context, compressor.context_begins_with_bos()));
      memory_index.push_back(place->second);
      queries.push_back(
          tokenizer.encode(fill_template(config.data.query_template, passage->context, question->text, "")));
    }
    const double before = seconds_now();
    const Memory memory = compressor.compress(token_batch(contexts));
    out.cost.compress_seconds += seconds_now() - before;
    for (const int64_t b : memory_index) {
      out.cost.source_tokens += memory.source_tokens[b].item<int64_t>();
      out.cost.entries += memory.lengths[b].item<int64_t>();
      out.cost.bytes += memory.bytes(b);
    }
    const TokenBatch query = token_batch(queries);
    const TaskTokens task{Task::qa, query.ids, query.lengths, {}, torch::tensor(memory_index, torch::kLong)};
    generate_answers(compressor.decoder(), tokenizer, config, compressor.prompt(memory, task), out);
    if (progress) progress(static_cast<int64_t>(out.texts.size()));
  }
  return out;
}

AnswerSet answer_from_text(const Decoder& decoder, const Tokenizer& tokenizer, const Config& config,
                           const std::string& reference, int64_t ratio, const std::vector<AskedQuestion>& questions,
                           const OnProgress& progress) {
  const torch::NoGradGuard no_gradient;
  AnswerSet out;
  const DecoderConfig& shape = decoder.config();
  const int64_t bytes_per_entry =
      shape.layers * 2 * shape.kv_heads * shape.head_dim * static_cast<int64_t>(c10::elementSize(decoder.dtype()));
  const auto batch = static_cast<size_t>(config.eval.batch);
  for (size_t start = 0; start < questions.size(); start += batch) {
    stop_if_interrupted();
    std::vector<TokenIds> prompts;
    for (size_t i = start; i < std::min(start + batch, questions.size()); ++i) {
      const auto& [passage, question] = questions[i];
      const TokenIds source = tokenizer.encode(passage->context);
      TokenIds kept = source;
      std::string context = passage->context;
      if (reference == "none") kept.clear();
      if (reference == "truncate") {
        const size_t keep = (source.size() + static_cast<size_t>(ratio) - 1) / static_cast<size_t>(ratio);
        kept.assign(source.end() - static_cast<std::ptrdiff_t>(keep), source.end());
        context = trim(tokenizer.decode(kept));
      }
      const std::string& form =
          reference == "none" ? config.eval.prompt.without_context : config.eval.prompt.with_context;
      prompts.push_back(tokenizer.encode(fill_template(form, context, question->text, ""), true));
      if (tokenizer.adds_bos) prompts.back().insert(prompts.back().begin(), tokenizer.bos_id);
      out.cost.source_tokens += static_cast<int64_t>(source.size());
      out.cost.entries += static_cast<int64_t>(kept.size());
      out.cost.bytes += static_cast<int64_t>(kept.size()) * bytes_per_entry;
    }
    const TokenBatch tokens = token_batch(prompts);
    const Tensor positions = torch::arange(tokens.ids.size(1)).unsqueeze(0).expand_as(tokens.ids);
    generate_answers(decoder, tokenizer, config, {decoder.embed(tokens.ids), tokens.lengths, positions}, out);
    if (progress) progress(static_cast<int64_t>(out.texts.size()));
  }
  return out;
}

QaScore score_answers(const std::vector<AskedQuestion>& questions, const std::vector<std::string>& texts) {
  check(questions.size() == texts.size() && !texts.empty(), "score_answers: one answer per question");
  QaScore score;
  for (size_t i = 0; i < texts.size(); ++i) {
    const AnswerScore one = score_answer(texts[i], questions[i].question->answers);
    score.em += one.exact_match;
    score.f1 += one.f1;
  }
  const auto n = static_cast<double>(texts.size());
  const double share = score.em / n;
  score.em_standard_error = 100 * std::sqrt(share * (1 - share) / n);
  score.em *= 100 / n;
  score.f1 *= 100 / n;
  score.questions = static_cast<int64_t>(texts.size());
  return score;
}

}  // namespace precis

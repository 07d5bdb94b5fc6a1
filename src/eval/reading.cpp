#include "precis/eval/reading.h"

#include <torch/types.h>

#include <chrono>
#include <map>

#include "precis/compress/parts.h"
#include "precis/core/error.h"
#include "precis/core/strings.h"
#include "precis/nn/device.h"
#include "precis/train/objective.h"

namespace precis {
namespace {

double seconds_now() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

// Rows of unsupervised and supervised tokens, right-padded; without labels if nothing is supervised.
TaskTokens task_of(Task task, const std::vector<TokenIds>& given, const std::vector<TokenIds>& supervised,
                   const std::vector<int64_t>& memory_index) {
  std::vector<TokenIds> ids = given, labels;
  bool any = false;
  for (size_t i = 0; i < ids.size(); ++i) {
    labels.emplace_back(ids[i].size(), -100);
    labels[i].insert(labels[i].end(), supervised[i].begin(), supervised[i].end());
    ids[i].insert(ids[i].end(), supervised[i].begin(), supervised[i].end());
    any = any || !supervised[i].empty();
  }
  const TokenBatch tokens = token_batch(ids);
  const Tensor padding = length_mask(tokens.lengths, tokens.ids.size(1)).logical_not();
  return {task, tokens.ids, tokens.lengths, any ? token_batch(labels).ids.masked_fill(padding, -100) : Tensor(),
          torch::tensor(memory_index, torch::kLong)};
}

void append_to(TokenIds& ids, const TokenIds& more) { ids.insert(ids.end(), more.begin(), more.end()); }

std::vector<int64_t> first_indices(size_t n) {
  std::vector<int64_t> out(n);
  for (size_t i = 0; i < n; ++i) out[i] = static_cast<int64_t>(i);
  return out;
}

class MemoryReading : public Reading {
 public:
  MemoryReading(Compressor& compressor, const Tokenizer& tokenizer, const Config& config)
      : compressor_(compressor), tokenizer_(tokenizer), config_(config) {}

  DecoderInput ask(const std::vector<Ask>& asks, ReadingCost& cost) override {
    std::vector<TokenIds> contexts, given, supervised;
    std::vector<int64_t> memory_index;
    std::map<const Passage*, int64_t> index_of;
    for (const Ask& a : asks) {
      const auto [place, is_new] = index_of.emplace(a.passage, static_cast<int64_t>(contexts.size()));
      if (is_new)
        contexts.push_back(
            context_ids(tokenizer_, config_.data, a.passage->context, compressor_.context_begins_with_bos()));
      memory_index.push_back(place->second);
      given.push_back(encode_template(tokenizer_, config_.data.query_template, {a.passage->context, a.question, ""}));
      append_to(given.back(), a.given);
      supervised.push_back(a.supervised);
    }
    const double before = seconds_now();
    const Memory memory = compress(contexts);
    wait_for(decoder().device());
    cost.batches.push_back({.compress_seconds = seconds_now() - before,
                            .contexts = static_cast<int64_t>(contexts.size()),
                            .questions = static_cast<int64_t>(asks.size())});
    for (const int64_t b : memory_index) {
      cost.source_tokens += memory.source_tokens[b].item<int64_t>();
      cost.entries += memory.lengths[b].item<int64_t>();
      cost.bytes += memory.bytes(b);
    }
    return compressor_.prompt(memory, task_of(Task::qa, given, supervised, memory_index));
  }

  DecoderInput go_on(const std::vector<TokenIds>& contexts, int64_t held_back) override {
    std::vector<TokenIds> texts, continuations;
    for (const auto& context : contexts) {
      texts.emplace_back(context.begin(), context.end() - held_back);
      if (compressor_.context_begins_with_bos()) texts.back().insert(texts.back().begin(), tokenizer_.bos_id);
      continuations.emplace_back(context.end() - held_back, context.end());
    }
    const Memory memory = compress(texts);
    return compressor_.prompt(memory, without_first_label(task_of(Task::lm, std::vector<TokenIds>(contexts.size()),
                                                                  continuations, first_indices(contexts.size()))));
  }

  std::optional<DecoderInput> reconstruct(const std::vector<TokenIds>& contexts) override {
    return reconstruct_as(contexts, std::vector<TokenIds>(contexts.size()));
  }
  std::optional<DecoderInput> reconstruct_supervised(const std::vector<TokenIds>& contexts) override {
    return reconstruct_as(contexts, contexts);
  }

  const Decoder& decoder() const override { return compressor_.decoder(); }

 private:
  Memory compress(const std::vector<TokenIds>& texts) {
    return compress_in_parts(compressor_, token_batch(texts), config_.eval.segments_at_once);
  }

  DecoderInput reconstruct_as(const std::vector<TokenIds>& contexts, const std::vector<TokenIds>& supervised) {
    std::vector<TokenIds> texts = contexts;
    if (compressor_.context_begins_with_bos()) {
      for (auto& text : texts) text.insert(text.begin(), tokenizer_.bos_id);
    }
    const Memory memory = compress(texts);
    return compressor_.prompt(
        memory, task_of(Task::ae, std::vector<TokenIds>(contexts.size()), supervised, first_indices(contexts.size())));
  }

  Compressor& compressor_;
  const Tokenizer& tokenizer_;
  const Config config_;
};

class TextReading : public Reading {
 public:
  TextReading(const Decoder& decoder, const Tokenizer& tokenizer, const Config& config, std::string reference,
              int64_t ratio)
      : decoder_(decoder), tokenizer_(tokenizer), config_(config), reference_(std::move(reference)), ratio_(ratio) {}

  DecoderInput ask(const std::vector<Ask>& asks, ReadingCost& cost) override {
    const DecoderConfig& shape = decoder_.config();
    const int64_t bytes_per_entry =
        shape.layers * 2 * shape.kv_heads * shape.head_dim * static_cast<int64_t>(c10::elementSize(decoder_.dtype()));
    std::vector<TokenIds> given, supervised;
    std::set<const Passage*> contexts;
    for (const Ask& a : asks) {
      const TokenIds source = tokenizer_.encode(a.passage->context), kept = keep(source);
      const std::string context = kept.size() == source.size() ? a.passage->context : trim(tokenizer_.decode(kept));
      const PromptConfig& prompt = config_.eval.prompt;
      const std::string& form = reference_ == "none" ? prompt.without_context : prompt.with_context;
      given.push_back(encode_template(tokenizer_, form, {context, a.question, ""}));
      if (tokenizer_.adds_bos) given.back().insert(given.back().begin(), tokenizer_.bos_id);
      append_to(given.back(), a.given);
      supervised.push_back(a.supervised);
      contexts.insert(a.passage);
      cost.source_tokens += static_cast<int64_t>(source.size());
      cost.entries += static_cast<int64_t>(kept.size());
      cost.bytes += static_cast<int64_t>(kept.size()) * bytes_per_entry;
    }
    cost.batches.push_back(
        {.contexts = static_cast<int64_t>(contexts.size()), .questions = static_cast<int64_t>(asks.size())});
    return input(given, supervised);
  }

  DecoderInput go_on(const std::vector<TokenIds>& contexts, int64_t held_back) override {
    std::vector<TokenIds> given, supervised;
    for (const auto& context : contexts) {
      given.push_back(keep(TokenIds(context.begin(), context.end() - held_back)));
      if (tokenizer_.adds_bos) given.back().insert(given.back().begin(), tokenizer_.bos_id);
      // The first continuation token is not supervised: without a context no row could predict it.
      given.back().push_back(*(context.end() - held_back));
      supervised.emplace_back(context.end() - held_back + 1, context.end());
    }
    return input(given, supervised);
  }

  std::optional<DecoderInput> reconstruct(const std::vector<TokenIds>&) override { return std::nullopt; }
  std::optional<DecoderInput> reconstruct_supervised(const std::vector<TokenIds>&) override { return std::nullopt; }

  const Decoder& decoder() const override { return decoder_; }

 private:
  TokenIds keep(const TokenIds& source) const {
    if (reference_ == "full") return source;
    if (reference_ == "none") return {};
    const auto count = static_cast<std::ptrdiff_t>((static_cast<int64_t>(source.size()) + ratio_ - 1) / ratio_);
    return reference_ == "truncate-first" ? TokenIds(source.begin(), source.begin() + count)
                                          : TokenIds(source.end() - count, source.end());
  }

  // Rows of plain tokens; the row before a label predicts it.
  DecoderInput input(const std::vector<TokenIds>& given, const std::vector<TokenIds>& supervised) const {
    const TaskTokens task = task_of(Task::qa, given, supervised, first_indices(given.size()));
    const Tensor positions = torch::arange(task.ids.size(1)).unsqueeze(0).expand_as(task.ids);
    DecoderInput out{decoder_.embed(task.ids), task.lengths, positions};
    if (task.labels.defined())
      out.labels = torch::constant_pad_nd(task.labels.narrow(1, 1, task.labels.size(1) - 1), {0, 1}, -100);
    return out;
  }

  const Decoder& decoder_;
  const Tokenizer& tokenizer_;
  const Config config_;
  std::string reference_;
  int64_t ratio_;
};

}  // namespace

std::unique_ptr<Reading> read_memory(Compressor& compressor, const Tokenizer& tokenizer, const Config& config) {
  return std::make_unique<MemoryReading>(compressor, tokenizer, config);
}

std::unique_ptr<Reading> read_text(const Decoder& decoder, const Tokenizer& tokenizer, const Config& config,
                                   const std::string& reference, int64_t ratio) {
  return std::make_unique<TextReading>(decoder, tokenizer, config, reference, ratio);
}

std::vector<RowLikelihood> row_likelihoods(const Decoder& decoder, const DecoderInput& input) {
  const c10::InferenceMode inference;
  const Tensor states = decoder.hidden(input);
  std::vector<RowLikelihood> out(static_cast<size_t>(states.size(0)));
  for (int64_t r = 0; r < states.size(0); ++r) {
    const Tensor labels = input.labels[r], places = labels.ne(-100).nonzero().squeeze(1);
    if (places.numel() == 0) continue;
    const Tensor rows = states[r].index_select(0, places.to(states.device()));
    const Tensor logits = decoder.logits(rows).to(torch::kFloat).log_softmax(-1);
    const Tensor picked = logits.gather(1, labels.index_select(0, places).unsqueeze(1).to(states.device()));
    const Tensor right = picked.squeeze(1).eq(std::get<0>(logits.max(1)));
    out[static_cast<size_t>(r)] = {picked.sum().item<double>(), places.numel(), right.sum().item<int64_t>()};
  }
  return out;
}

}  // namespace precis

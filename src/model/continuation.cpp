#include "precis/model/continuation.h"

#include <torch/types.h>

#include "precis/core/error.h"
#include "precis/core/strings.h"

namespace precis {
namespace {

// With more rows, LibTorch's matrix products are faster.
constexpr int64_t most_rows = 16;

// With fewer new tokens, capturing a GPU graph costs more than it saves.
constexpr int64_t least_tokens_for_a_graph = 8;

void refuse_too_long(const Decoder& decoder, const DecoderInput& input, int64_t new_tokens) {
  const int64_t last = input.position_ids.max().item<int64_t>() + new_tokens;
  if (last > decoder.config().max_positions) {
    throw Error({.what = "the prompt and the answer are longer than the decoder's context window",
                 .expected = cat("at most ", decoder.config().max_positions, " positions"),
                 .found = cat(last)});
  }
}

// With longrope, a context that reaches `change` has other frequencies from its first position on. Keys and values of a
// past cannot be made again.
void refuse_frequency_change(const std::optional<int64_t>& change, const DecoderInput& input, int64_t new_tokens) {
  if (!change || !input.past) return;
  const int64_t last = input.position_ids.max().item<int64_t>() + new_tokens;
  if (last <= *change) return;
  throw Error({.what = "behind a memory of keys and values, the answer reaches the position at which longrope changes "
                       "its frequencies",
               .expected = cat("at most ", *change, " positions"),
               .found = cat(last),
               .hint = "shorten the prompt or the answer, or use a method whose memory is soft tokens"});
}

// The prompt with the tokens that were read since, each [B], as one input.
DecoderInput with_tokens(const Decoder& decoder, const DecoderInput& prompt, const std::vector<Tensor>& ids) {
  const int64_t B = prompt.rows.size(0), T = prompt.rows.size(1), more = static_cast<int64_t>(ids.size());
  const Tensor added = decoder.embed(torch::stack(ids, 1));  // [B, more, D]
  const Tensor positions = prompt.position_ids.expand({B, T});
  DecoderInput out{.rows = torch::constant_pad_nd(prompt.rows.to(added.scalar_type()), {0, 0, 0, more}),
                   .lengths = prompt.lengths + more,
                   .position_ids = torch::constant_pad_nd(positions, {0, more})};
  for (int64_t b = 0; b < B; ++b) {
    const int64_t length = prompt.lengths[b].item<int64_t>();
    out.rows[b].narrow(0, length, more).copy_(added[b]);
    out.position_ids[b].narrow(0, length, more).copy_(positions[b][length - 1] + 1 + torch::arange(more));
  }
  return out;
}

KvCache cache_for(const Decoder& decoder, const DecoderInput& input, int64_t new_tokens) {
  const DecoderConfig& config = decoder.config();
  const int64_t capacity = (input.past ? input.past->entries() : 0) + input.rows.size(1) + new_tokens;
  KvCache cache(config.layers, input.rows.size(0), config.kv_heads, capacity, config.head_dim,
                torch::TensorOptions().dtype(decoder.dtype()).device(decoder.device()));
  if (input.past) cache.start_from(*input.past);
  return cache;
}

}  // namespace

Continuation::Continuation(const Decoder& decoder, const DecoderInput& prompts, int64_t most_new_tokens, bool by_rows)
    : decoder_(decoder),
      cache_((refuse_too_long(decoder, prompts, most_new_tokens), cache_for(decoder, prompts, most_new_tokens))),
      most_new_tokens_(most_new_tokens),
      by_rows_(by_rows),
      change_(decoder.frequency_change()) {
  refuse_frequency_change(change_, prompts, most_new_tokens);
  read_prompts(prompts);
  if (change_) {
    prompts_ = prompts;
    prompt_end_ = position_.cpu().clone();
  }
  if (logits_.isnan().any().item<bool>()) {
    throw Error({.what = "the logits are not numbers",
                 .where = "generate",
                 .hint = "the model's weights or the memory hold NaN or infinity"});
  }
}

void Continuation::read_prompts(const DecoderInput& prompts) {
  const int64_t batch = prompts.rows.size(0);
  const Tensor last_row = (prompts.lengths - 1).to(decoder_.device()).view({batch, 1});
  position_ = prompts.position_ids.to(decoder_.device()).expand({batch, -1}).gather(1, last_row);
  const Tensor states = decoder_.hidden(prompts, &cache_);
  const Tensor rows = states.gather(1, last_row.unsqueeze(-1).expand({-1, 1, states.size(2)}));  // [B, 1, D]
  logits_ = decoder_.logits(rows.squeeze(1));
}

// Whether reading `ids` takes a context to the position at which frequencies change; if so, all is read again.
bool Continuation::read_across_change(const Tensor& ids) {
  if (!change_) return false;
  tokens_.push_back(ids.clone());
  if (!prompt_end_.eq(*change_ - static_cast<int64_t>(tokens_.size())).any().item<bool>()) return false;
  rows_.reset();
  graph_.reset();
  began_ = false;
  cache_ = cache_for(decoder_, prompts_, most_new_tokens_);
  read_prompts(with_tokens(decoder_, prompts_, tokens_));
  return true;
}

void Continuation::read(const Tensor& ids) {
  if (read_across_change(ids)) return;
  if (!began_) {
    began_ = true;
    ids_ = torch::zeros({contexts()}, position_.options());
    one_ = torch::ones({contexts()}, torch::kLong);
    if (by_rows_ && decoder_.row_weights() != nullptr && contexts() <= most_rows)
      rows_.emplace(*decoder_.row_weights(), std::vector{&cache_});
    if (by_rows_ && most_new_tokens_ >= least_tokens_for_a_graph && DeviceGraph::is_available(decoder_.device())) {
      graph_.emplace(decoder_.device());
      cache_.show_whole();
    }
  }
  position_.add_(1);
  if (rows_) {
    logits_ = rows_->next(ids, position_);
    return;
  }
  ids_.copy_(ids);
  const auto pass = [this] {
    const Tensor rows = decoder_.embed(ids_.unsqueeze(1));
    logits_ = decoder_.logits(decoder_.hidden({rows, one_, position_}, &cache_).squeeze(1));
  };
  graph_ ? graph_->run(pass) : pass();
}

JointContinuation::JointContinuation(const Decoder& decoder, std::vector<Continuation*> members)
    : decoder_(decoder), members_(std::move(members)) {
  if (decoder.row_weights() == nullptr || decoder.frequency_change()) return;
  for (size_t begin = 0; begin < members_.size(); begin += most_rows) {
    std::vector<KvCache*> caches;
    for (size_t i = begin; i < std::min(members_.size(), begin + most_rows); ++i) {
      check(members_[i]->contexts() == 1, "JointContinuation: one context each");
      caches.push_back(&members_[i]->cache_);
    }
    parts_.emplace_back(*decoder.row_weights(), std::move(caches));
  }
}

void JointContinuation::read(const Tensor& ids) {
  const auto all = static_cast<int64_t>(members_.size());
  if (parts_.empty()) {
    for (int64_t i = 0; i < all; ++i) members_[static_cast<size_t>(i)]->read(ids.narrow(0, i, 1));
    return;
  }
  for (int64_t begin = 0, part = 0; begin < all; begin += most_rows, ++part) {
    const int64_t n = std::min(most_rows, all - begin);
    std::vector<Tensor> positions;
    for (int64_t i = begin; i < begin + n; ++i)
      positions.push_back(members_[static_cast<size_t>(i)]->position_.add_(1).view({1}));
    const Tensor& logits = parts_[static_cast<size_t>(part)].next(ids.narrow(0, begin, n), torch::cat(positions));
    for (int64_t i = 0; i < n; ++i) members_[static_cast<size_t>(begin + i)]->logits_ = logits.narrow(0, i, 1);
  }
}

}  // namespace precis

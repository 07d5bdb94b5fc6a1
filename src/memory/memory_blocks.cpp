#include "precis/memory/memory_blocks.h"

#include <torch/types.h>

#include <algorithm>
#include <numeric>

#include "precis/core/error.h"
#include "precis/core/strings.h"
#include "precis/memory/entries.h"

namespace precis {
namespace {

const KvMemory* kv_of(const Memory& memory) { return std::get_if<KvMemory>(&memory.content); }

// Content made by `f`. For every content tensor, `f` gets that tensor of each memory as [B, M, ...].
template <class F>
std::variant<EmbeddingMemory, KvMemory> combine(const std::vector<Memory>& memories, F f) {
  const auto apply = [&](auto tensor_of) {
    std::vector<Tensor> tensors;
    for (const auto& memory : memories) tensors.push_back(tensor_of(memory));
    return f(tensors);
  };
  if (!kv_of(memories.front())) {
    const auto rows = [](const Memory& m) { return std::get<EmbeddingMemory>(m.content).rows; };
    const auto slots = [](const Memory& m) { return std::get<EmbeddingMemory>(m.content).slots; };
    const bool all = std::all_of(memories.begin(), memories.end(), [&](const Memory& m) { return slots(m).defined(); });
    return EmbeddingMemory{apply(rows), all ? apply(slots) : Tensor()};
  }
  KvMemory out;
  for (size_t i = 0; i < kv_of(memories.front())->layers.size(); ++i) {
    const auto k = [i](const Memory& m) { return kv_of(m)->layers[i].k.transpose(1, 2); };
    const auto v = [i](const Memory& m) { return kv_of(m)->layers[i].v.transpose(1, 2); };
    out.layers.push_back({apply(k).transpose(1, 2), apply(v).transpose(1, 2)});
  }
  return out;
}

MemoryDocuments documents_of(const Memory& memory) {
  return memory.documents.value_or(
      MemoryDocuments{torch::zeros_like(memory.position_ids), memory.source_tokens.unsqueeze(1)});
}

// Rearranges entries: row c of the result has the entries index[c], which index the concatenation of all memories'
// flattened [B, M]. The caller sets document tokens, source tokens and next positions.
Memory arrange(const std::vector<Memory>& from, const std::vector<std::vector<int64_t>>& index) {
  const auto arranged = [&](const std::vector<Tensor>& tensors) {
    std::vector<Tensor> flat;
    for (const auto& tensor : tensors) flat.push_back(tensor.flatten(0, 1));
    return gather_entries(torch::cat(flat).unsqueeze(0), index);
  };
  std::vector<int64_t> lengths;
  for (const auto& context : index) lengths.push_back(static_cast<int64_t>(context.size()));
  Memory out = from.front();
  out.lengths = to_tensor(lengths);
  out.content = combine(from, arranged);
  if (auto* kv = std::get_if<KvMemory>(&out.content)) kv->lengths = out.lengths;
  std::vector<Tensor> positions, segments, documents;
  for (const auto& memory : from) {
    positions.push_back(memory.position_ids);
    segments.push_back(memory.segments);
    documents.push_back(documents_of(memory).index);
  }
  out.position_ids = arranged(positions);
  const Tensor padding = length_mask(out.lengths, out.entries()).logical_not();
  out.segments = arranged(segments).masked_fill(padding, -1);
  out.documents = MemoryDocuments{arranged(documents).masked_fill(padding, 0), {}};
  return out;
}

// Rotates keys and shifts positions by `shift` (int64 [B]).
Memory moved(Memory memory, const Tensor& shift, const Decoder& decoder) {
  memory.position_ids = memory.position_ids + shift.unsqueeze(1);
  if (!kv_of(memory) || shift.eq(0).all().item<bool>()) return memory;
  auto& layers = std::get<KvMemory>(memory.content).layers;
  for (size_t i = 0; i < layers.size(); ++i)
    layers[i].k = decoder.rotate_keys(static_cast<int64_t>(i), layers[i].k, shift.unsqueeze(1));
  return memory;
}

// Positions that each context's memory takes (int64 [B]), by which a document behind it is moved: its entries if they
// are numbered one after the other, else the tokens of its text.
Tensor extent_of(const Memory& memory) {
  return memory.placement.next == MemoryPlacement::Next::rows ? memory.lengths : memory.source_tokens;
}

void check_fit(const Memory& first, const Memory& other, size_t index) {
  const auto fail = [&](const std::string& what, const std::string& expected, const std::string& found) {
    throw Error({.what = cat("memories of different ", what, " cannot be combined"),
                 .where = cat("memory ", index + 1),
                 .expected = expected + " (the first)",
                 .found = found});
  };
  const MemoryOrigin &a = first.origin, &b = other.origin;
  if (a.method != b.method) fail("methods", a.method, b.method);
  if (a.method_version != b.method_version) fail("method versions", cat(a.method_version), cat(b.method_version));
  if (a.ratio != b.ratio) fail("ratios", cat(a.ratio), cat(b.ratio));
  if (a.base_fingerprint != b.base_fingerprint) fail("base models", a.base_fingerprint, b.base_fingerprint);
  if (a.tokenizer_hash != b.tokenizer_hash) fail("tokenizers", a.tokenizer_hash, b.tokenizer_hash);
  if (first.content.index() != other.content.index() || first.placement != other.placement)
    fail("carriers or positions", "the same carrier and positions", "different ones");
}

// Concatenates parts per context. Positions that do not count from the front are already final. `documents_begin`: each
// part starts a new document; else it continues the previous one.
Memory join(std::vector<Memory> parts, bool documents_begin) {
  const int64_t B = parts.front().contexts();
  std::vector<std::vector<int64_t>> index(static_cast<size_t>(B)), tokens(index);
  Tensor segments = torch::zeros({B, 1}, torch::kLong), documents = segments, source = torch::zeros({B}, torch::kLong);
  int64_t offset = 0;
  for (auto& part : parts) {
    part.documents = documents_of(part);
    for (int64_t b = 0; b < B; ++b) {
      auto& context = index[static_cast<size_t>(b)];
      for (int64_t j = 0; j < part.lengths[b].item<int64_t>(); ++j) context.push_back(offset + b * part.entries() + j);
      auto& own = tokens[static_cast<size_t>(b)];
      for (int64_t d = 0; d < part.documents->tokens.size(1); ++d) {
        const int64_t n = part.documents->tokens[b][d].item<int64_t>();
        if (d == 0 && !documents_begin && !own.empty()) {
          own.back() += n;
        } else if (n > 0) {
          own.push_back(n);
        }
      }
    }
    offset += B * part.entries();
    source = source + part.source_tokens;
    const bool goes_on = !documents_begin && documents.gt(0).any().item<bool>();
    part.documents->index = part.documents->index + documents - (goes_on ? 1 : 0);
    documents = documents + part.documents->tokens.gt(0).sum(1, true) - (goes_on ? 1 : 0);
    const Tensor last = part.segments.amax(1, true);  // padding is -1
    part.segments = part.segments + segments;
    segments = segments + last + 1;
  }
  Memory out = arrange(parts, index);
  out.source_tokens = source;
  out.documents->tokens = to_padded_tensor(tokens, 0);
  if (out.documents->tokens.size(1) == 1) out.documents.reset();
  place_memory(out);
  return out;
}

}  // namespace

Memory join_parts(std::vector<Memory> parts) {
  if (parts.empty()) throw Error({.what = "no parts to join", .expected = "at least one"});
  for (size_t i = 0; i < parts.size(); ++i) check_fit(parts.front(), parts[i], i);
  return parts.size() == 1 ? parts.front() : join(std::move(parts), false);
}

Memory concatenate(const std::vector<Memory>& documents, const Decoder& decoder) {
  if (documents.empty()) throw Error({.what = "no memories to concatenate", .expected = "at least one"});
  std::vector<Memory> parts;
  Tensor shift = torch::zeros_like(documents.front().source_tokens);
  for (size_t i = 0; i < documents.size(); ++i) {
    check_fit(documents.front(), documents[i], i);
    check(documents[i].contexts() == shift.size(0), "concatenate: the same number of contexts in every memory");
    parts.push_back(moved(documents[i], shift, decoder));
    shift = shift + extent_of(documents[i]);
  }
  return join(std::move(parts), true);
}

std::vector<Memory> split_documents(const Memory& memory, const Decoder& decoder) {
  check(memory.contexts() == 1, "split_documents takes the memory of one context");
  const MemoryDocuments documents = documents_of(memory);
  const int64_t* document = documents.index.data_ptr<int64_t>();
  std::vector<std::vector<int64_t>> index(static_cast<size_t>(documents.tokens.size(1)));
  for (int64_t j = 0; j < memory.lengths[0].item<int64_t>(); ++j) index[static_cast<size_t>(document[j])].push_back(j);
  std::vector<Memory> out;
  int64_t before = 0;
  for (size_t d = 0; d < index.size(); ++d) {
    Memory part = arrange({memory}, {index[d]});
    part.documents.reset();
    part.source_tokens = documents.tokens.narrow(1, static_cast<int64_t>(d), 1).squeeze(1);
    part.segments = part.segments - part.segments.min();
    part = moved(std::move(part), torch::tensor({-before}, torch::kLong), decoder);
    place_memory(part);
    before += extent_of(part).item<int64_t>();
    out.push_back(std::move(part));
  }
  return out;
}

Memory stack(const std::vector<Memory>& memories) {
  if (memories.empty()) throw Error({.what = "no memories to batch", .expected = "at least one"});
  std::vector<std::vector<int64_t>> index, tokens;
  std::vector<Tensor> source, next;
  int64_t offset = 0;
  for (size_t i = 0; i < memories.size(); ++i) {
    const Memory& memory = memories[i];
    check_fit(memories.front(), memory, i);
    const MemoryDocuments documents = documents_of(memory);
    for (int64_t b = 0; b < memory.contexts(); ++b) {
      index.emplace_back(static_cast<size_t>(memory.lengths[b].item<int64_t>()));
      std::iota(index.back().begin(), index.back().end(), offset + b * memory.entries());
      const Tensor own = documents.tokens[b].contiguous();
      tokens.emplace_back(own.data_ptr<int64_t>(), own.data_ptr<int64_t>() + own.size(0));
    }
    offset += memory.contexts() * memory.entries();
    source.push_back(memory.source_tokens);
    next.push_back(memory.next_position);
  }
  Memory out = arrange(memories, index);
  out.source_tokens = torch::cat(source);
  out.next_position = torch::cat(next);
  out.documents->tokens = to_padded_tensor(tokens, 0);
  if (out.documents->tokens.size(1) == 1) out.documents.reset();
  return out;
}

Memory select_context(const Memory& memory, int64_t b) {
  check(b >= 0 && b < memory.contexts(), "select_context: no such context");
  std::vector<int64_t> entries(static_cast<size_t>(memory.lengths[b].item<int64_t>()));
  std::iota(entries.begin(), entries.end(), b * memory.entries());
  Memory out = arrange({memory}, {entries});
  out.source_tokens = memory.source_tokens.narrow(0, b, 1);
  out.next_position = memory.next_position.narrow(0, b, 1);
  out.documents->tokens = documents_of(memory).tokens.narrow(0, b, 1);
  if (!memory.documents) out.documents.reset();
  return out;
}

at::ScalarType dtype_of(const Memory& memory) {
  const KvMemory* kv = kv_of(memory);
  return (kv != nullptr ? kv->layers.front().k : std::get<EmbeddingMemory>(memory.content).rows).scalar_type();
}

Memory with_dtype(const Memory& memory, at::ScalarType dtype, std::optional<at::Device> device) {
  Memory out = memory;
  out.content = combine({memory}, [&](const std::vector<Tensor>& tensors) {
    return tensors[0].to(device.value_or(tensors[0].device()), dtype);
  });
  if (auto* kv = std::get_if<KvMemory>(&out.content)) kv->lengths = out.lengths;
  return out;
}

}  // namespace precis

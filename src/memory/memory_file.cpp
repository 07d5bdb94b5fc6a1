#include "precis/memory/memory_file.h"

#include <torch/types.h>

#include <algorithm>
#include <charconv>
#include <cmath>

#include "precis/core/error.h"
#include "precis/core/hash.h"
#include "precis/core/strings.h"

namespace precis {
namespace fs = std::filesystem;
namespace {

constexpr int64_t format_version = 1;
constexpr const char* format_name = "precis-memory";

const std::vector<std::pair<std::string, MemoryPlacement::Next>> next_names = {
    {"rows", MemoryPlacement::Next::rows},
    {"source", MemoryPlacement::Next::source},
    {"source_and_rows", MemoryPlacement::Next::source_and_rows}};

}  // namespace

std::string memory_checksum(const Metadata& metadata, const TensorMap& tensors) {
  Hasher hasher;
  for (const auto& [key, value] : metadata) {
    if (key != "checksum") hasher.update(cat(key.size(), ':', key, value.size(), ':', value));
  }
  for (const auto& [name, tensor] : tensors) {
    const Tensor bytes = tensor.contiguous();
    hasher.update(cat(name.size(), ':', name, c10::toString(bytes.scalar_type()), bytes.sizes()));
    hasher.update(bytes.data_ptr(), bytes.nbytes());
  }
  return hasher.hex();
}

namespace {

TensorMap tensors_of(const Memory& memory) {
  TensorMap out;
  out["position_ids"] = memory.position_ids[0];
  out["segments"] = memory.segments[0];
  if (memory.documents) {
    out["documents"] = memory.documents->index[0];
    out["document_tokens"] = memory.documents->tokens[0];
  }
  if (const auto* embedding = std::get_if<EmbeddingMemory>(&memory.content)) {
    out["rows"] = embedding->rows[0];
  } else {
    const auto& layers = std::get<KvMemory>(memory.content).layers;
    for (size_t i = 0; i < layers.size(); ++i) {
      out[cat("layers.", i, ".keys")] = layers[i].k[0];
      out[cat("layers.", i, ".values")] = layers[i].v[0];
    }
  }
  for (auto& [name, tensor] : out) tensor = tensor.detach().cpu().contiguous();
  return out;
}

// A memory file's metadata, with errors that name the file and the key.
class Fields {
 public:
  Fields(const Metadata& metadata, std::string where) : metadata_(metadata), where_(std::move(where)) {}

  std::string text(const std::string& key) const {
    const auto found = metadata_.find(key);
    if (found == metadata_.end()) fail(key, "a value", "none");
    return found->second;
  }
  int64_t number(const std::string& key) const {
    const std::string value = text(key);
    int64_t out = -1;
    const auto [end, error] = std::from_chars(value.data(), value.data() + value.size(), out);
    constexpr int64_t most = int64_t{1} << 53;  // so that sums of several cannot overflow
    if (error != std::errc() || end != value.data() + value.size() || out < 0 || out > most)
      fail(key, cat("a whole number from 0 to ", most), excerpt(value));
    return out;
  }
  [[noreturn]] void fail(const std::string& what, const std::string& expected, const std::string& found) const {
    throw Error({.what = "invalid memory file: " + what, .where = where_, .expected = expected, .found = found});
  }

 private:
  const Metadata& metadata_;
  std::string where_;
};

// Removes the tensor `name` from `tensors` and returns it as [1, ...]; -1 in `shape`: any size of at least 1.
Tensor take(TensorMap& tensors, const std::string& name, const std::vector<int64_t>& shape, const Fields& fields) {
  const auto found = tensors.find(name);
  if (found == tensors.end()) fields.fail("tensor " + name, "a tensor", "none");
  const Tensor tensor = found->second.clone();
  if (!all_finite(tensor)) fields.fail("tensor " + name, "numbers", "NaN or infinity");
  if (tensor.numel() == 0) fields.fail("tensor " + name, "at least one entry", "none");
  bool fits = tensor.dim() == static_cast<int64_t>(shape.size());
  for (size_t i = 0; fits && i < shape.size(); ++i)
    fits = shape[i] < 0 || tensor.size(static_cast<int64_t>(i)) == shape[i];
  if (!fits) fields.fail("shape of " + name, cat(at::IntArrayRef(shape)), cat(tensor.sizes()));
  tensors.erase(found);
  return tensor.unsqueeze(0);
}

Tensor take_floats(TensorMap& tensors, const std::string& name, const std::vector<int64_t>& shape,
                   const Fields& fields) {
  const Tensor tensor = take(tensors, name, shape, fields);
  if (!tensor.is_floating_point())
    fields.fail("dtype of " + name, "a floating-point dtype", c10::toString(tensor.scalar_type()));
  return tensor;
}

// Integers in [0, limit), one per entry.
Tensor take_numbers(TensorMap& tensors, const std::string& name, int64_t count, int64_t limit, const Fields& fields) {
  const Tensor numbers = take(tensors, name, {count}, fields);
  if (numbers.scalar_type() != torch::kLong)
    fields.fail("dtype of " + name, "int64", c10::toString(numbers.scalar_type()));
  const int64_t low = numbers.min().item<int64_t>(), high = numbers.max().item<int64_t>();
  if (low < 0 || high >= limit) fields.fail("values of " + name, cat("0 to ", limit - 1), cat(low, " to ", high));
  return numbers;
}

MemoryPlacement placement_of(const Fields& fields) {
  MemoryPlacement placement{.before = fields.number("positions_before"), .markers = fields.text("markers") == "yes"};
  for (const auto& [name, next] : next_names) {
    if (name != fields.text("positions")) continue;
    placement.next = next;
    return placement;
  }
  fields.fail("positions", "rows, source or source_and_rows", excerpt(fields.text("positions")));
}

}  // namespace

void save_memory(const fs::path& path, const MemoryFile& file) {
  const Memory& memory = file.memory;
  check(memory.contexts() == 1, "a memory file holds one context: see select_context");
  const TensorMap tensors = tensors_of(memory);
  for (const auto& [name, tensor] : tensors) {
    if (!all_finite(tensor))
      throw Error({.what = "the memory holds NaN or infinity", .where = cat(path.string(), ": ", name)});
  }
  Metadata metadata = {{"format", format_name},
                       {"format_version", cat(format_version)},
                       {"method", memory.origin.method},
                       {"method_version", cat(memory.origin.method_version)},
                       {"ratio", cat(memory.origin.ratio)},
                       {"carrier", std::holds_alternative<KvMemory>(memory.content) ? "kv" : "embedding"},
                       {"positions_before", cat(memory.placement.before)},
                       {"markers", memory.placement.markers ? "yes" : "no"},
                       {"next_position", cat(memory.next_position[0].item<int64_t>())},
                       {"source_tokens", cat(memory.source_tokens[0].item<int64_t>())},
                       {"source_hash", file.source_hash},
                       {"compressor_hash", file.compressor_hash},
                       {"base_fingerprint", memory.origin.base_fingerprint},
                       {"tokenizer_hash", memory.origin.tokenizer_hash}};
  for (const auto& [name, next] : next_names) {
    if (next == memory.placement.next) metadata["positions"] = name;
  }
  metadata["checksum"] = memory_checksum(metadata, tensors);
  write_safetensors(path, tensors, metadata);
}

MemoryFile load_memory(const fs::path& path) {
  const SafetensorsFile file(path);
  const Fields fields(file.metadata(), path.string());
  if (!file.metadata().count("format") || fields.text("format") != format_name) {
    throw Error({.what = "not a memory file",
                 .where = path.string(),
                 .expected = "a file written by precis compress",
                 .found = "a safetensors file of another kind"});
  }
  if (fields.number("format_version") != format_version) {
    throw Error({.what = "unsupported memory file format version",
                 .where = path.string(),
                 .expected = cat(format_version),
                 .found = fields.text("format_version")});
  }
  TensorMap tensors = file.tensors();
  if (memory_checksum(file.metadata(), tensors) != fields.text("checksum")) {
    throw Error({.what = "the memory file was altered: its contents do not match the checksum",
                 .where = path.string(),
                 .hint = "compress the text again"});
  }
  MemoryFile out{{}, fields.text("source_hash"), fields.text("compressor_hash")};
  Memory& memory = out.memory;
  memory.origin = {fields.text("method"), fields.number("method_version"), fields.number("ratio"),
                   fields.text("base_fingerprint"), fields.text("tokenizer_hash")};
  memory.placement = placement_of(fields);
  const int64_t next = fields.number("next_position");
  memory.position_ids =
      take_numbers(tensors, "position_ids", -1, std::max(next, fields.number("source_tokens") + 1), fields);
  const int64_t M = memory.entries();
  memory.segments = take_numbers(tensors, "segments", M, M, fields);
  memory.lengths = torch::tensor({M}, torch::kLong);
  memory.source_tokens = torch::tensor({fields.number("source_tokens")}, torch::kLong);
  memory.next_position = torch::tensor({next}, torch::kLong);
  if (tensors.count("document_tokens")) {
    const Tensor tokens = take_numbers(tensors, "document_tokens", -1, INT64_MAX, fields);
    memory.documents = {take_numbers(tensors, "documents", M, tokens.size(1), fields), tokens};
  }
  if (fields.text("carrier") == "embedding") {
    memory.content = EmbeddingMemory{take_floats(tensors, "rows", {M, -1}, fields), {}};
  } else {
    KvMemory kv{{}, memory.lengths};
    std::vector<int64_t> shape = {-1, M, -1};  // then that of the first layer
    for (size_t i = 0; i == 0 || tensors.count(cat("layers.", i, ".keys")); ++i) {
      const Tensor keys = take_floats(tensors, cat("layers.", i, ".keys"), shape, fields);
      shape = keys.sizes().slice(1).vec();
      kv.layers.push_back({keys, take_floats(tensors, cat("layers.", i, ".values"), shape, fields)});
      if (keys.scalar_type() != kv.layers.front().k.scalar_type() ||
          kv.layers.back().v.scalar_type() != keys.scalar_type())
        fields.fail(cat("dtype of layers.", i), c10::toString(kv.layers.front().k.scalar_type()), "another one");
    }
    memory.content = std::move(kv);
  }
  if (!tensors.empty()) fields.fail("tensors", "only the memory's tensors", tensors.begin()->first);
  return out;
}

std::string source_hash(const Tensor& ids, const std::string& before) {
  const Tensor flat = ids.to(torch::kLong).contiguous();
  return Hasher().update(before).update(flat.data_ptr(), flat.nbytes()).hex();
}

double relative_error(const Memory& exact, const Memory& stored) {
  const auto total = [](const Tensor& x) { return x.to(torch::kDouble).square().sum().item<double>(); };
  double error = 0, size = 0;
  const auto add = [&](const Tensor& a, const Tensor& b) {
    error += total(a.to(torch::kDouble) - b.to(torch::kDouble));
    size += total(a);
  };
  if (const auto* embedding = std::get_if<EmbeddingMemory>(&exact.content)) {
    add(embedding->rows, std::get<EmbeddingMemory>(stored.content).rows);
  } else {
    const auto &a = std::get<KvMemory>(exact.content).layers, &b = std::get<KvMemory>(stored.content).layers;
    for (size_t i = 0; i < a.size(); ++i) {
      add(a[i].k, b[i].k);
      add(a[i].v, b[i].v);
    }
  }
  return size > 0 ? std::sqrt(error / size) : 0;
}

}  // namespace precis

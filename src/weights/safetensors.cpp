#include "precis/weights/safetensors.h"

#include <algorithm>
#include <cmath>
#include <cstring>

#include "precis/core/error.h"
#include "precis/core/json.h"
#include "precis/core/strings.h"

namespace precis {
namespace {

constexpr size_t largest_header = 100'000'000;  // the reference implementation's limit

const std::vector<std::pair<std::string, at::ScalarType>> dtypes = {
    {"F64", at::kDouble}, {"F32", at::kFloat}, {"F16", at::kHalf}, {"BF16", at::kBFloat16}, {"I64", at::kLong},
    {"I32", at::kInt},    {"I16", at::kShort}, {"I8", at::kChar},  {"U8", at::kByte},       {"BOOL", at::kBool}};

at::ScalarType dtype_of(const std::string& name, const std::string& where) {
  for (const auto& [known, dtype] : dtypes) {
    if (known == name) return dtype;
  }
  throw Error({.what = "unsupported dtype",
               .where = where,
               .found = excerpt(name),
               .hint = name.starts_with("F8") || name.starts_with("F4")
                           ? "use the model's unquantised weights, or a GGUF file of it"
                           : ""});
}

std::string name_of(at::ScalarType dtype) {
  for (const auto& [name, known] : dtypes) {
    if (known == dtype) return name;
  }
  throw InternalError("a tensor of a dtype that safetensors lacks");
}

uint64_t unsigned_of(const LargeJson& value, const std::string& where) {
  if (!value.is_number_unsigned()) {
    throw Error({.what = "bad number in the header",
                 .where = where,
                 .expected = "a whole number of at least 0",
                 .found = json_kind(value)});
  }
  return value.get<uint64_t>();
}

SafetensorsFile::Entry read_entry(const LargeJson& json, size_t data_bytes, const std::string& where) {
  SafetensorsFile::Entry entry{};
  entry.dtype = dtype_of(json_get<std::string>(json, "dtype", where), where);
  const LargeJson shape = json_get<LargeJson>(json, "shape", where),
                  span = json_get<LargeJson>(json, "data_offsets", where);
  if (!shape.is_array() || !span.is_array() || span.size() != 2) {
    throw Error(
        {.what = "bad header entry", .where = where, .expected = "lists \"shape\" and \"data_offsets\" [begin, end]"});
  }
  uint64_t bytes = c10::elementSize(entry.dtype), extent = bytes;  // strides count an axis of 0 as one of 1
  for (const LargeJson& size : shape) {
    const uint64_t n = unsigned_of(size, where);
    if (n > INT64_MAX || (n > 0 && extent > (uint64_t{1} << 60) / n))
      throw Error({.what = "impossible shape", .where = where, .found = shape.dump()});
    bytes *= n;
    extent *= std::max(n, uint64_t{1});
    entry.shape.push_back(static_cast<int64_t>(n));
  }
  entry.begin = unsigned_of(span[0], where);
  entry.end = unsigned_of(span[1], where);
  if (entry.begin > entry.end || entry.end > data_bytes) {
    throw Error({.what = "the tensor's data lies outside the file",
                 .where = where,
                 .expected = cat("at most ", data_bytes, " bytes of data"),
                 .found = span.dump()});
  }
  if (entry.end - entry.begin != bytes) {
    throw Error({.what = "shape and data size disagree",
                 .where = where,
                 .expected = cat(bytes, " bytes"),
                 .found = cat(entry.end - entry.begin)});
  }
  return entry;
}

void check_spans(const std::map<std::string, SafetensorsFile::Entry>& entries, size_t data_bytes,
                 const std::string& where) {
  std::vector<std::pair<size_t, size_t>> spans;
  for (const auto& [name, entry] : entries) spans.emplace_back(entry.begin, entry.end);
  std::sort(spans.begin(), spans.end());
  size_t done = 0;
  for (const auto& [begin, end] : spans) {
    if (begin != done) {
      throw Error({.what = begin < done ? "tensor data overlaps" : "there is a hole between tensors",
                   .where = where,
                   .expected = cat("a tensor at byte ", done),
                   .found = cat("byte ", begin)});
    }
    done = end;
  }
  if (done != data_bytes) {
    throw Error({.what = "the header does not cover the data",
                 .where = where,
                 .expected = cat(data_bytes, " bytes"),
                 .found = cat(done)});
  }
}

}  // namespace

SafetensorsFile::SafetensorsFile(const std::filesystem::path& path) : file_(std::make_shared<MappedFile>(path)) {
  const std::string where = path.string();
  uint64_t header_bytes = 0;
  if (file_->size() < 8)
    throw Error({.what = "too short for a safetensors file", .where = where, .found = cat(file_->size(), " bytes")});
  std::memcpy(&header_bytes, file_->data(), 8);
  if (header_bytes > std::min(file_->size() - 8, largest_header)) {
    throw Error({.what = "not a safetensors file, or truncated",
                 .where = where,
                 .expected = cat("a header of at most ", std::min(file_->size() - 8, largest_header), " bytes"),
                 .found = cat(header_bytes)});
  }
  data_start_ = 8 + header_bytes;
  const LargeJson header = parse_large_json(file_->view().substr(8, header_bytes), where + " (header)");
  if (!header.is_object()) throw Error({.what = "the header is not an object", .where = where});
  const size_t data_bytes = file_->size() - data_start_;
  for (const auto& [name, value] : header.items()) {
    if (name != "__metadata__") {
      entries_.emplace(name, read_entry(value, data_bytes, cat(where, ": ", excerpt(name))));
      continue;
    }
    if (!value.is_object()) throw Error({.what = "the metadata is not an object", .where = where});
    for (const auto& [key, text] : value.items()) {
      if (!text.is_string())
        throw Error(
            {.what = "metadata must be text", .where = cat(where, ": ", excerpt(key)), .found = json_kind(text)});
      metadata_[key] = text.get<std::string>();
    }
  }
  check_spans(entries_, data_bytes, where);
}

Tensor SafetensorsFile::tensor(const std::string& name) const {
  const auto found = entries_.find(name);
  if (found == entries_.end()) throw Error({.what = "the tensor " + name + " is missing", .where = path()});
  const Entry& entry = found->second;
  const std::byte* data = file_->data() + data_start_ + entry.begin;
  if (entry.begin == entry.end) return at::empty(entry.shape, entry.dtype);
  const auto keep = file_;
  const bool aligned = reinterpret_cast<uintptr_t>(data) % c10::elementSize(entry.dtype) == 0;
  if (aligned)
    return at::from_blob(
        const_cast<std::byte*>(data), entry.shape, [keep](void*) {}, entry.dtype);
  Tensor copy = at::empty(entry.shape, entry.dtype);
  std::memcpy(copy.data_ptr(), data, entry.end - entry.begin);
  return copy;
}

TensorMap SafetensorsFile::tensors() const {
  TensorMap out;
  for (const auto& [name, entry] : entries_) out[name] = tensor(name);
  return out;
}

bool all_finite(const Tensor& tensor) {
  if (!tensor.is_floating_point() || tensor.numel() == 0) return true;
  const auto [low, high] = tensor.detach().aminmax();  // NaN if any entry is
  return std::isfinite(low.item<double>()) && std::isfinite(high.item<double>());
}

void write_safetensors(const std::filesystem::path& path, const TensorMap& tensors, const Metadata& metadata) {
  std::vector<std::pair<std::string, Tensor>> ordered;
  for (const auto& [name, tensor] : tensors) ordered.emplace_back(name, tensor.detach().cpu().contiguous());
  // Wide elements first, so that every tensor is aligned.
  std::stable_sort(ordered.begin(), ordered.end(),
                   [](const auto& a, const auto& b) { return a.second.element_size() > b.second.element_size(); });
  LargeJson header = LargeJson::object();
  if (!metadata.empty()) header["__metadata__"] = metadata;
  size_t offset = 0;
  for (const auto& [name, tensor] : ordered) {
    header[name] = {{"dtype", name_of(tensor.scalar_type())},
                    {"shape", tensor.sizes().vec()},
                    {"data_offsets", {offset, offset + tensor.nbytes()}}};
    offset += tensor.nbytes();
  }
  std::string text = header.dump();
  text.resize((text.size() + 7) / 8 * 8, ' ');
  write_file_atomically(path, [&](std::ostream& out) {
    const uint64_t length = text.size();
    out.write(reinterpret_cast<const char*>(&length), 8);
    out.write(text.data(), static_cast<std::streamsize>(text.size()));
    for (const auto& [name, tensor] : ordered) {
      out.write(static_cast<const char*>(tensor.data_ptr()), static_cast<std::streamsize>(tensor.nbytes()));
    }
  });
}

}  // namespace precis

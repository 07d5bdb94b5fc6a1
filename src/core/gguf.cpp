#include "precis/core/gguf.h"

#include <cstring>

#include "precis/core/error.h"
#include "precis/core/strings.h"

namespace precis {
namespace {

enum ValueType : uint32_t { u8, i8, u16, i16, u32, i32, f32, boolean, string, array, u64, i64, f64 };

// Reads little-endian values in sequence, with bounds checks.
class Cursor {
 public:
  Cursor(std::string_view bytes, std::string where) : bytes_(bytes), where_(std::move(where)) {}

  template <class T>
  T read() {
    T value;
    std::memcpy(&value, take(sizeof(T)), sizeof(T));
    return value;
  }

  std::string read_string() {
    const auto length = read<uint64_t>();
    return std::string(take(length), length);
  }

  // A count of items of at least `item_bytes` each, checked against the file's size before anything is allocated.
  uint64_t read_count(size_t item_bytes, const char* what) {
    const auto count = read<uint64_t>();
    if (count > (bytes_.size() - position_) / item_bytes) {
      throw Error({.what = cat("the number of ", what, " is larger than the file can hold"),
                   .where = where_,
                   .found = cat(count)});
    }
    return count;
  }

  // Counts list items over the whole file: each takes about 40 bytes here, and may be one in the file.
  void add_items(uint64_t count) {
    items_ += count;
    if (items_ <= most_items) return;
    throw Error({.what = "too many list items in the metadata",
                 .where = where_,
                 .expected = cat("at most ", most_items),
                 .found = cat(items_)});
  }

  size_t position() const { return position_; }

 private:
  static constexpr uint64_t most_items = uint64_t{1} << 24;

  const char* take(uint64_t count) {
    if (count > bytes_.size() - position_) {
      throw Error({.what = "the file ends in the middle of a value",
                   .where = where_,
                   .expected = cat(count, " more bytes at offset ", position_),
                   .found = cat(bytes_.size() - position_)});
    }
    const char* at = bytes_.data() + position_;
    position_ += count;
    return at;
  }

  std::string_view bytes_;
  std::string where_;
  size_t position_ = 0;
  uint64_t items_ = 0;
};

GgufValue read_value(Cursor& in, uint32_t type, const std::string& where, int depth = 0) {
  switch (type) {
    case u8:
      return {uint64_t{in.read<uint8_t>()}};
    case i8:
      return {int64_t{in.read<int8_t>()}};
    case u16:
      return {uint64_t{in.read<uint16_t>()}};
    case i16:
      return {int64_t{in.read<int16_t>()}};
    case u32:
      return {uint64_t{in.read<uint32_t>()}};
    case i32:
      return {int64_t{in.read<int32_t>()}};
    case f32:
      return {double{in.read<float>()}};
    case boolean:
      return {in.read<uint8_t>() != 0};
    case string:
      return {in.read_string()};
    case u64:
      return {in.read<uint64_t>()};
    case i64:
      return {in.read<int64_t>()};
    case f64:
      return {in.read<double>()};
    case array:
      break;
    default:
      throw Error({.what = "unknown metadata type", .where = where, .found = cat(type)});
  }
  if (depth > 3) throw Error({.what = "metadata lists are nested too deeply", .where = where});
  const auto item_type = in.read<uint32_t>();
  const auto count = in.read_count(1, "list items");
  in.add_items(count);
  GgufArray items;
  items.reserve(count);
  for (uint64_t i = 0; i < count; ++i) items.push_back(read_value(in, item_type, where, depth + 1));
  return {std::move(items)};
}

GgufTensor read_tensor(Cursor& in, const std::string& where) {
  const auto axes = in.read<uint32_t>();
  if (axes < 1 || axes > 4)
    throw Error({.what = "bad number of axes", .where = where, .expected = "1 to 4", .found = cat(axes)});
  GgufTensor tensor;
  uint64_t elements = 1;
  for (uint32_t i = 0; i < axes; ++i) {
    const auto size = in.read<uint64_t>();
    if (size == 0 || size > (uint64_t{1} << 40) / elements) {
      throw Error({.what = "impossible tensor size", .where = where, .found = cat(size)});
    }
    elements *= size;
    tensor.shape.insert(tensor.shape.begin(), static_cast<int64_t>(size));
  }
  tensor.type = in.read<uint32_t>();
  tensor.offset = in.read<uint64_t>();
  return tensor;
}

}  // namespace

GgufFile::GgufFile(const std::filesystem::path& path) : file_(path) {
  Cursor in(file_.view(), path.string());
  if (file_.size() < 4 || file_.view().substr(0, 4) != "GGUF") {
    throw Error({.what = "not a GGUF file", .where = path.string(), .expected = "GGUF in the first four bytes"});
  }
  in.read<uint32_t>();
  const auto version = in.read<uint32_t>();
  if (version != 2 && version != 3) {
    throw Error(
        {.what = "unsupported GGUF version", .where = path.string(), .expected = "2 or 3", .found = cat(version)});
  }
  const auto tensor_count = in.read<uint64_t>();
  const auto key_count = in.read_count(13, "metadata keys");
  for (uint64_t i = 0; i < key_count; ++i) {
    const std::string key = in.read_string();
    const auto type = in.read<uint32_t>();
    if (!metadata_.emplace(key, read_value(in, type, cat(path.string(), ": ", excerpt(key)))).second) {
      throw Error({.what = "duplicate metadata key", .where = path.string(), .found = excerpt(key)});
    }
  }
  if (tensor_count > file_.size() / 24) {
    throw Error({.what = "the number of tensors is larger than the file can hold",
                 .where = path.string(),
                 .found = cat(tensor_count)});
  }
  for (uint64_t i = 0; i < tensor_count; ++i) {
    const std::string name = in.read_string();
    if (!tensors_.emplace(name, read_tensor(in, cat(path.string(), ": ", excerpt(name)))).second) {
      throw Error({.what = "duplicate tensor name", .where = path.string(), .found = excerpt(name)});
    }
  }
  const int64_t alignment = has("general.alignment") ? integer("general.alignment") : 32;
  if (alignment < 1 || alignment > 65536) {
    throw Error({.what = "bad general.alignment", .where = path.string(), .found = cat(alignment)});
  }
  const size_t step = static_cast<size_t>(alignment), start = (in.position() + step - 1) / step * step;
  for (auto& [name, tensor] : tensors_) {
    if (start > file_.size() || tensor.offset > file_.size() - start) {
      throw Error({.what = "tensor data lies outside the file",
                   .where = cat(path.string(), ": ", excerpt(name)),
                   .found = cat("offset ", tensor.offset)});
    }
    tensor.offset += start;
  }
}

const GgufValue& GgufFile::at(const std::string& key) const {
  const auto found = metadata_.find(key);
  if (found == metadata_.end()) throw Error({.what = "the metadata key " + key + " is missing", .where = path()});
  return found->second;
}

namespace {

template <class T>
[[noreturn]] T wrong_type(const std::string& path, const std::string& key, const char* expected) {
  throw Error({.what = "the metadata key " + key + " has the wrong type", .where = path, .expected = expected});
}

}  // namespace

int64_t GgufFile::integer(const std::string& key) const {
  const auto& value = at(key).value;
  if (const auto* u = std::get_if<uint64_t>(&value); u != nullptr && *u <= INT64_MAX) return static_cast<int64_t>(*u);
  if (const auto* i = std::get_if<int64_t>(&value)) return *i;
  return wrong_type<int64_t>(path(), key, "a whole number");
}

double GgufFile::number(const std::string& key) const {
  if (const auto* d = std::get_if<double>(&at(key).value)) return *d;
  return static_cast<double>(integer(key));
}

bool GgufFile::boolean(const std::string& key, bool fallback) const {
  if (!has(key)) return fallback;
  if (const auto* b = std::get_if<bool>(&at(key).value)) return *b;
  return wrong_type<bool>(path(), key, "true or false");
}

const std::string& GgufFile::text(const std::string& key) const {
  if (const auto* s = std::get_if<std::string>(&at(key).value)) return *s;
  wrong_type<std::string>(path(), key, "a string");
}

std::vector<std::string> GgufFile::texts(const std::string& key) const {
  const auto* items = std::get_if<GgufArray>(&at(key).value);
  if (items == nullptr) wrong_type<std::string>(path(), key, "a list of strings");
  std::vector<std::string> out;
  for (const auto& item : *items) {
    const auto* s = std::get_if<std::string>(&item.value);
    if (s == nullptr) wrong_type<std::string>(path(), key, "a list of strings");
    out.push_back(*s);
  }
  return out;
}

std::vector<int64_t> GgufFile::integers(const std::string& key) const {
  const auto* items = std::get_if<GgufArray>(&at(key).value);
  if (items == nullptr) wrong_type<int64_t>(path(), key, "a list of whole numbers");
  std::vector<int64_t> out;
  for (const auto& item : *items) {
    if (const auto* u = std::get_if<uint64_t>(&item.value)) {
      out.push_back(static_cast<int64_t>(*u));
    } else if (const auto* i = std::get_if<int64_t>(&item.value)) {
      out.push_back(*i);
    } else {
      wrong_type<int64_t>(path(), key, "a list of whole numbers");
    }
  }
  return out;
}

}  // namespace precis

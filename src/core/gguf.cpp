#include "precis/core/gguf.h"

#include <algorithm>
#include <cstring>
#include <optional>
#include <regex>
#include <set>

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

template <class T>
[[noreturn]] T wrong_type(const std::string& path, const std::string& key, const char* expected) {
  throw Error({.what = "the metadata key " + key + " has the wrong type", .where = path, .expected = expected});
}

int64_t integer_of(const GgufValue& value, const std::string& path, const std::string& key) {
  if (const auto* u = std::get_if<uint64_t>(&value.value); u != nullptr && *u <= INT64_MAX)
    return static_cast<int64_t>(*u);
  if (const auto* i = std::get_if<int64_t>(&value.value)) return *i;
  return wrong_type<int64_t>(path, key, "a whole number");
}

void require_version(uint32_t version, const std::string& where) {
  if (version == 2 || version == 3) return;
  const bool swapped = version == 2u << 24 || version == 3u << 24;
  throw Error({.what = "unsupported GGUF version",
               .where = where,
               .expected = "2 or 3, little-endian",
               .found = swapped ? "a big-endian file" : cat(version),
               .hint = "convert the model again with a current llama.cpp"});
}

// What a file's name says about a split model: NAME-00002-of-00003.gguf.
struct SplitName {
  std::string stem;
  int64_t number = 0, count = 0;

  std::string file(int64_t part) const {
    const auto five = [](int64_t n) {
      const std::string digits = cat(n);
      return std::string(5 - std::min<size_t>(5, digits.size()), '0') + digits;
    };
    return stem + "-" + five(part) + "-of-" + five(count) + ".gguf";
  }
};

std::optional<SplitName> split_name(const std::string& name) {
  static const std::regex pattern(R"((.*)-([0-9]{5})-of-([0-9]{5})\.gguf)");
  std::smatch found;
  if (!std::regex_match(name, found, pattern)) return std::nullopt;
  return SplitName{found[1], std::stoll(found[2]), std::stoll(found[3])};
}

}  // namespace

GgufFile::GgufFile(const std::filesystem::path& path) {
  metadata_ = add_part(path);
  if (has("split.count") && integer("split.count") != 1) add_split(path);
}

std::map<std::string, GgufValue> GgufFile::add_part(const std::filesystem::path& path) {
  parts_.push_back(std::make_unique<MappedFile>(path));
  const MappedFile& file = *parts_.back();
  Cursor in(file.view(), path.string());
  if (file.size() < 4 || file.view().substr(0, 4) != "GGUF") {
    throw Error({.what = "not a GGUF file", .where = path.string(), .expected = "GGUF in the first four bytes"});
  }
  in.read<uint32_t>();
  require_version(in.read<uint32_t>(), path.string());
  const auto tensor_count = in.read<uint64_t>();
  const auto key_count = in.read_count(13, "metadata keys");
  std::map<std::string, GgufValue> metadata;
  for (uint64_t i = 0; i < key_count; ++i) {
    const std::string key = in.read_string();
    const auto type = in.read<uint32_t>();
    if (!metadata.emplace(key, read_value(in, type, cat(path.string(), ": ", excerpt(key)))).second) {
      throw Error({.what = "duplicate metadata key", .where = path.string(), .found = excerpt(key)});
    }
  }
  if (tensor_count > file.size() / 24) {
    throw Error({.what = "the number of tensors is larger than the file can hold",
                 .where = path.string(),
                 .found = cat(tensor_count)});
  }
  std::vector<GgufTensor*> added;
  for (uint64_t i = 0; i < tensor_count; ++i) {
    const std::string name = in.read_string();
    const auto [place, is_new] = tensors_.emplace(name, read_tensor(in, cat(path.string(), ": ", excerpt(name))));
    if (!is_new) throw Error({.what = "duplicate tensor name", .where = path.string(), .found = excerpt(name)});
    place->second.part = parts_.size() - 1;
    added.push_back(&place->second);
  }
  const auto align = metadata.find("general.alignment");
  const int64_t alignment = align == metadata.end() ? 32 : integer_of(align->second, path.string(), align->first);
  if (alignment < 1 || alignment > 65536) {
    throw Error({.what = "bad general.alignment", .where = path.string(), .found = cat(alignment)});
  }
  const size_t step = static_cast<size_t>(alignment), start = (in.position() + step - 1) / step * step;
  for (GgufTensor* tensor : added) {
    if (start > file.size() || tensor->offset > file.size() - start) {
      throw Error({.what = "tensor data lies outside the file",
                   .where = path.string(),
                   .found = cat("offset ", tensor->offset),
                   .hint = "the file is incomplete: download it again, or join the pieces that it was cut into"});
    }
    tensor->offset += start;
  }
  return metadata;
}

// The parts beside `path`, in order. The first one holds the model's metadata.
void GgufFile::add_split(const std::filesystem::path& path) {
  const int64_t count = integer("split.count");
  const auto name = split_name(path.filename().string());
  if (!name || name->count != count || name->number < 1 || name->number > count) {
    throw Error({.what = "a part of a split model has a name that does not tell its place",
                 .where = path.string(),
                 .expected = cat("NAME-00001-of-", SplitName{"", 0, count}.file(1).substr(10)),
                 .hint = "give the parts the names with which they were published"});
  }
  parts_.clear();
  tensors_.clear();
  for (int64_t part = 1; part <= count; ++part) {
    const std::filesystem::path file = path.parent_path() / name->file(part);
    if (!std::filesystem::exists(file)) {
      throw Error({.what = cat("part ", part, " of ", count, " of a split model is missing"),
                   .where = file.string(),
                   .hint = "download all parts into one folder"});
    }
    auto metadata = add_part(file);
    const auto number = metadata.find("split.no");
    if (number == metadata.end() || integer_of(number->second, file.string(), "split.no") != part - 1) {
      throw Error({.what = "the file is another part than its name says", .where = file.string()});
    }
    if (part == 1) metadata_ = std::move(metadata);
  }
  const std::string total = "split.tensors.count";
  if (has(total) && integer(total) != static_cast<int64_t>(tensors_.size())) {
    throw Error({.what = "the parts of a split model do not belong together",
                 .where = this->path(),
                 .expected = cat(integer(total), " tensors in all parts"),
                 .found = cat(tensors_.size())});
  }
}

std::string_view GgufFile::data(const GgufTensor& tensor) const {
  return parts_[tensor.part]->view().substr(tensor.offset);
}

const GgufValue& GgufFile::at(const std::string& key) const {
  const auto found = metadata_.find(key);
  if (found == metadata_.end()) throw Error({.what = "the metadata key " + key + " is missing", .where = path()});
  return found->second;
}

int64_t GgufFile::integer(const std::string& key) const {
  const GgufValue& value = at(key);
  const auto* list = std::get_if<GgufArray>(&value.value);
  if (list == nullptr) return integer_of(value, path(), key);
  const std::vector<int64_t> by_layer = integers(key);
  if (by_layer.empty() || std::set<int64_t>(by_layer.begin(), by_layer.end()).size() != 1) {
    throw Error({.what = "the metadata key " + key + " differs from layer to layer, which is not supported",
                 .where = path(),
                 .expected = "one number"});
  }
  return by_layer.front();
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
    if (std::holds_alternative<GgufArray>(item.value)) wrong_type<int64_t>(path(), key, "a list of whole numbers");
    out.push_back(integer_of(item, path(), key));
  }
  return out;
}

}  // namespace precis

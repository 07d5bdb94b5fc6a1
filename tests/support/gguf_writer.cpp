#include "gguf_writer.h"

#include <algorithm>
#include <cstring>

namespace precis::testing {
namespace {

std::string text_of(const std::string& text) { return little_endian(text.size(), 8) + text; }

std::string bits_of(float value) {
  uint32_t bits;
  std::memcpy(&bits, &value, sizeof bits);
  return little_endian(bits, 4);
}

std::string padding(size_t size, size_t alignment) {
  return std::string((alignment - size % alignment) % alignment, '\0');
}

}  // namespace

std::string little_endian(uint64_t value, size_t bytes) {
  std::string out;
  for (size_t i = 0; i < bytes; ++i) out += static_cast<char>(value >> (8 * i) & 255);
  return out;
}

GgufWriter& GgufWriter::text(const std::string& key, const std::string& value) {
  keys_.push_back({key, little_endian(8, 4) + text_of(value), ""});
  return *this;
}

GgufWriter& GgufWriter::number(const std::string& key, uint32_t value) {
  keys_.push_back({key, little_endian(4, 4) + little_endian(value, 4), ""});
  return *this;
}

GgufWriter& GgufWriter::real(const std::string& key, float value) {
  keys_.push_back({key, little_endian(6, 4) + bits_of(value), ""});
  return *this;
}

GgufWriter& GgufWriter::numbers(const std::string& key, const std::vector<uint32_t>& list) {
  std::string value = little_endian(9, 4) + little_endian(4, 4) + little_endian(list.size(), 8);
  for (const uint32_t item : list) value += little_endian(item, 4);
  keys_.push_back({key, value, ""});
  return *this;
}

GgufWriter& GgufWriter::flags(const std::string& key, const std::vector<bool>& list) {
  std::string value = little_endian(9, 4) + little_endian(7, 4) + little_endian(list.size(), 8);
  for (const bool item : list) value += item ? '\1' : '\0';
  keys_.push_back({key, value, ""});
  return *this;
}

GgufWriter& GgufWriter::tensor(const std::string& name, const std::vector<int64_t>& shape, uint32_t type,
                               std::string data) {
  std::string head = little_endian(shape.size(), 4);
  for (auto size = shape.rbegin(); size != shape.rend(); ++size) head += little_endian(static_cast<uint64_t>(*size), 8);
  tensors_.push_back({name, head + little_endian(type, 4), std::move(data)});
  return *this;
}

GgufWriter& GgufWriter::floats(const std::string& name, const std::vector<int64_t>& shape,
                               const std::vector<float>& values) {
  std::string data;
  for (const float value : values) data += bits_of(value);
  return tensor(name, shape, 0, data);
}

GgufWriter& GgufWriter::without(const std::string& name) {
  for (auto* items : {&keys_, &tensors_}) std::erase_if(*items, [&](const Item& item) { return item.name == name; });
  return *this;
}

std::string GgufWriter::bytes(size_t alignment, uint32_t version) const {
  std::string out = "GGUF" + little_endian(version, 4) + little_endian(tensors_.size(), 8) +
                    little_endian(keys_.size(), 8),
              data;
  for (const Item& key : keys_) out += text_of(key.name) + key.head;
  for (const Item& t : tensors_) {
    out += text_of(t.name) + t.head + little_endian(data.size(), 8);
    data += t.data + padding(t.data.size(), alignment);
  }
  return out + padding(out.size(), alignment) + data;
}

GgufWriter GgufWriter::tiny(const std::string& a) {
  GgufWriter w;
  w.text("general.architecture", a).number(a + ".block_count", 1).number(a + ".embedding_length", 8);
  w.number(a + ".feed_forward_length", 8).number(a + ".attention.head_count", 2).number(a + ".context_length", 64);
  w.real(a + ".attention.layer_norm_rms_epsilon", 1e-5F);
  w.floats("token_embd.weight", {4, 8}, std::vector<float>(32, 0));
  return w;
}

}  // namespace precis::testing

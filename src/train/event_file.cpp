#include "precis/train/event_file.h"

#include <array>
#include <bit>
#include <chrono>
#include <cstring>
#include <fstream>

#include "precis/core/error.h"
#include "precis/core/file.h"
#include "precis/core/strings.h"

// The format: records of TensorFlow's TFRecord files, each an Event message (event.proto, summary.proto and
// tensor.proto of TensorBoard) in protobuf's encoding.
namespace precis {
namespace fs = std::filesystem;
namespace {

// CRC-32C of the bytes, masked as TFRecord does.
uint32_t masked_crc(std::string_view bytes) {
  static const auto table = [] {
    std::array<uint32_t, 256> out{};
    for (uint32_t i = 0; i < 256; ++i) {
      uint32_t value = i;
      for (int bit = 0; bit < 8; ++bit) value = (value >> 1) ^ (value & 1 ? 0x82F63B78u : 0);
      out[i] = value;
    }
    return out;
  }();
  uint32_t crc = ~0u;
  for (const char c : bytes) crc = table[(crc ^ static_cast<uint8_t>(c)) & 255] ^ (crc >> 8);
  return std::rotr(~crc, 15) + 0xa282ead8u;
}

template <class T>
std::string little_endian(T value) {
  std::string out(sizeof value, '\0');
  std::memcpy(out.data(), &value, sizeof value);
  return out;
}

std::string varint(uint64_t value) {
  std::string out;
  for (; value >= 128; value >>= 7) out += static_cast<char>(value | 128);
  return out + static_cast<char>(value);
}

// A field of a message, by wire type.
std::string key(int number, int wire_type) { return varint(static_cast<uint64_t>(number << 3 | wire_type)); }
std::string field(int number, uint64_t value) { return key(number, 0) + varint(value); }
std::string field(int number, double value) { return key(number, 1) + little_endian(value); }
std::string field(int number, float value) { return key(number, 5) + little_endian(value); }
std::string field(int number, const std::string& bytes) { return key(number, 2) + varint(bytes.size()) + bytes; }

double seconds_now() {
  return std::chrono::duration<double>(std::chrono::system_clock::now().time_since_epoch()).count();
}

// Event: wall_time, step and the rest.
std::string event(int64_t step, const std::string& rest) {
  return field(1, seconds_now()) + field(2, static_cast<uint64_t>(step)) + rest;
}

// Event.summary with one Summary.Value: tag and the rest.
std::string summary(const std::string& tag, const std::string& rest) {
  return field(5, field(1, field(1, tag) + rest));
}

}  // namespace

EventFile::EventFile(const fs::path& folder, int64_t first_step) {
  make_folder(folder);
  path_ = folder / cat("events.out.tfevents.", static_cast<int64_t>(seconds_now() * 1e6), ".precis");
  append(event(0, field(3, std::string("brain.Event:2"))));    // file_version
  append(event(first_step, field(7, field(1, uint64_t{1}))));  // session_log: START
}

void EventFile::scalar(const std::string& tag, int64_t step, double value) {
  append(event(step, summary(tag, field(2, static_cast<float>(value)))));
}

void EventFile::text(const std::string& tag, int64_t step, const std::string& markdown) {
  const std::string metadata = field(1, field(1, std::string("text")));                     // plugin_data.plugin_name
  const std::string shape = field(2, field(1, uint64_t{1}));                                // dim.size
  const std::string tensor = field(1, uint64_t{7}) + field(2, shape) + field(8, markdown);  // DT_STRING
  append(event(step, summary(tag, field(8, tensor) + field(9, metadata))));
}

void EventFile::append(const std::string& event) const {
  const std::string length = little_endian(static_cast<uint64_t>(event.size()));
  std::ofstream out(path_, std::ios::binary | std::ios::app);
  out << length << little_endian(masked_crc(length)) << event << little_endian(masked_crc(event)) << std::flush;
  if (!out) throw Error({.what = "cannot write the file", .where = path_.string()});
}

}  // namespace precis

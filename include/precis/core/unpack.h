// Reads a file as a decompressed stream: gzip, xz and zstd (detected by content, not by name), and the members of tar
// archives in order.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>

namespace precis {

class UnpackedFile {
 public:
  explicit UnpackedFile(const std::filesystem::path& path);  // throws Error if it cannot be read
  ~UnpackedFile();

  // Moves to the next member; false at the end. A tar archive (by the end of its name: .tar, .tar.gz, .tar.xz,
  // .tar.zst, .tgz, .txz, .tzst) has its regular files as members, any other file has itself.
  bool next_member();
  bool is_archive() const;
  const std::string& member() const { return member_; }  // its name in the archive; else the file's own name

  // Fills the buffer with the member's next bytes and returns their number; 0 at its end. Throws Error on corrupt data.
  size_t read(char* buffer, size_t size);

  uint64_t packed_bytes() const;  // compressed bytes read so far, for progress

 private:
  struct State;
  std::unique_ptr<State> state_;
  std::string member_;
};

// The whole content of a compressed or plain file. `limit`: largest decompressed size in bytes.
std::string read_unpacked(const std::filesystem::path& path, size_t limit = size_t{4} << 30);

}  // namespace precis

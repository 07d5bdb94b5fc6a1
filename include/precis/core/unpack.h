// Reading what a file holds as a stream, unpacked: gzip, xz and zstd (told by their content, not their name), and the
// members of tar archives one after the other.
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

  // Goes to the next member: of a tar archive (its name has ".tar", ".tgz", ".txz" or ".tzst") its regular files, of
  // any other file itself, once. False at the end.
  bool next_member();
  const std::string& member() const { return member_; }  // its name inside the archive; the file's own elsewhere

  // Fills the buffer with the member's next bytes and returns how many; 0 at its end. Broken data is an Error.
  size_t read(char* buffer, size_t size);

  uint64_t packed_bytes() const;  // of the file that have been read so far, to show progress

 private:
  struct State;
  std::unique_ptr<State> state_;
  std::string member_;
};

// The whole content of a packed or plain file. `limit`: largest unpacked size in bytes.
std::string read_unpacked(const std::filesystem::path& path, size_t limit = size_t{4} << 30);

}  // namespace precis

// Files: memory-mapped reading, whole-file reading, atomic writing.
#pragma once

#include <cstddef>
#include <filesystem>
#include <functional>
#include <memory>
#include <ostream>
#include <string>
#include <string_view>

namespace precis {

// A read-only memory map of a whole file, unmapped by the destructor.
class MappedFile {
 public:
  explicit MappedFile(const std::filesystem::path& path);  // throws Error if it cannot be read
  ~MappedFile();
  MappedFile(const MappedFile&) = delete;
  MappedFile& operator=(const MappedFile&) = delete;

  const std::byte* data() const { return data_; }
  size_t size() const { return size_; }
  std::string_view view() const { return {reinterpret_cast<const char*>(data_), size_}; }
  const std::filesystem::path& path() const { return path_; }

 private:
  std::filesystem::path path_;
  const std::byte* data_ = nullptr;
  size_t size_ = 0;
};

// The file's bytes. Throws Error if it is missing, a folder, or unreadable.
std::string read_file(const std::filesystem::path& path);

// Writes a file atomically: `fill` writes to a temporary file in the same folder, which is synced and renamed.
// On any failure (a full disk, an exception in `fill`) the old file is untouched and the temporary one is removed.
void write_file_atomically(const std::filesystem::path& path, const std::function<void(std::ostream&)>& fill);
void write_file_atomically(const std::filesystem::path& path, std::string_view bytes);

// Appends one line (with its newline) in a single write, synced before the call returns.
void append_line(const std::filesystem::path& path, std::string_view line);

// Creates a folder atomically: `fill` writes to a temporary folder beside `path`, which is then renamed.
void write_folder_atomically(const std::filesystem::path& path,
                             const std::function<void(const std::filesystem::path&)>& fill);

// Creates the folder and its parents. Throws Error if `path` is not a folder or cannot be created.
void make_folder(const std::filesystem::path& path);

// Locks a folder for this process until destroyed. Throws Error if another process holds the lock.
class FolderLock {
 public:
  explicit FolderLock(const std::filesystem::path& folder);
  ~FolderLock();
  FolderLock(const FolderLock&) = delete;
  FolderLock& operator=(const FolderLock&) = delete;

 private:
  int descriptor_ = -1;
};

}  // namespace precis

#include "precis/core/file.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <cstring>
#include <ext/stdio_filebuf.h>

#include "precis/core/error.h"
#include "precis/core/strings.h"

namespace precis {
namespace fs = std::filesystem;
namespace {

[[noreturn]] void fail_with_errno(const fs::path& path, const std::string& what) {
  const int code = errno;
  const bool out_of_space = code == ENOSPC || code == EDQUOT || code == EFBIG || code == EMFILE || code == ENOMEM;
  throw Error({.what = what, .where = path.string(), .found = std::strerror(code)},
              out_of_space ? Error::Kind::resources : Error::Kind::input);
}

// A file descriptor that closes itself.
struct Descriptor {
  int fd;
  ~Descriptor() {
    if (fd >= 0) ::close(fd);
  }
};

void sync_folder(const fs::path& folder) {
  const Descriptor d{::open(folder.empty() ? "." : folder.c_str(), O_RDONLY | O_DIRECTORY)};
  if (d.fd < 0 || ::fsync(d.fd) != 0) fail_with_errno(folder, "cannot sync the folder");
}

// Unique per call: several processes and threads may write the same file.
fs::path temporary_name(const fs::path& path) {
  static std::atomic<uint64_t> calls = 0;
  return path.parent_path() / cat(".", path.filename().string(), ".tmp-", ::getpid(), "-", calls++);
}

}  // namespace

MappedFile::MappedFile(const fs::path& path) : path_(path) {
  const Descriptor d{::open(path.c_str(), O_RDONLY)};
  if (d.fd < 0) fail_with_errno(path, "cannot open the file");
  struct stat info {};
  if (::fstat(d.fd, &info) != 0) fail_with_errno(path, "cannot read the file's size");
  if (!S_ISREG(info.st_mode)) throw Error({.what = "not a regular file", .where = path.string()});
  size_ = static_cast<size_t>(info.st_size);
  if (size_ == 0) return;
  void* address = ::mmap(nullptr, size_, PROT_READ, MAP_PRIVATE, d.fd, 0);
  if (address == MAP_FAILED) fail_with_errno(path, "cannot map the file");
  data_ = static_cast<const std::byte*>(address);
}

MappedFile::~MappedFile() {
  if (data_ != nullptr) ::munmap(const_cast<std::byte*>(data_), size_);
}

std::string read_file(const fs::path& path) { return std::string(MappedFile(path).view()); }

void write_file_atomically(const fs::path& path, const std::function<void(std::ostream&)>& fill) {
  const fs::path temporary = temporary_name(path);
  try {
    const Descriptor d{::open(temporary.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644)};
    if (d.fd < 0) fail_with_errno(path, "cannot write the file");
    __gnu_cxx::stdio_filebuf<char> buffer(::dup(d.fd), std::ios::out | std::ios::binary, 1 << 16);
    std::ostream stream(&buffer);
    errno = 0;
    fill(stream);
    stream.flush();
    if (!stream || ::fsync(d.fd) != 0) fail_with_errno(path, "cannot write the file");
    if (::rename(temporary.c_str(), path.c_str()) != 0) fail_with_errno(path, "cannot rename the temporary file");
  } catch (...) {
    ::unlink(temporary.c_str());
    throw;
  }
  sync_folder(path.parent_path());
}

void write_file_atomically(const fs::path& path, std::string_view bytes) {
  write_file_atomically(
      path, [&](std::ostream& out) { out.write(bytes.data(), static_cast<std::streamsize>(bytes.size())); });
}

void append_line(const fs::path& path, std::string_view line) {
  const Descriptor d{::open(path.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644)};
  if (d.fd < 0) fail_with_errno(path, "cannot open the file");
  const std::string text = std::string(line) + "\n";
  errno = 0;
  if (::write(d.fd, text.data(), text.size()) != static_cast<ssize_t>(text.size()) || ::fsync(d.fd) != 0) {
    fail_with_errno(path, "cannot append a line");
  }
}

void write_folder_atomically(const fs::path& path, const std::function<void(const fs::path&)>& fill) {
  const fs::path temporary = temporary_name(path);
  fs::remove_all(temporary);
  make_folder(temporary);
  try {
    fill(temporary);
    sync_folder(temporary);
    fs::remove_all(path);
    fs::rename(temporary, path);
  } catch (...) {
    std::error_code ignored;
    fs::remove_all(temporary, ignored);
    throw;
  }
  sync_folder(path.parent_path());
}

void make_folder(const fs::path& path) {
  std::error_code code;
  fs::create_directories(path, code);
  if (code) throw Error({.what = "cannot create the folder", .where = path.string(), .found = code.message()});
  if (!fs::is_directory(path)) {
    throw Error({.what = "not a folder", .where = path.string(), .expected = "a writable folder"});
  }
}

FolderLock::FolderLock(const fs::path& folder) {
  const fs::path path = folder / ".lock";
  descriptor_ = ::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0644);
  if (descriptor_ < 0) fail_with_errno(path, "cannot open the lock file");
  if (::flock(descriptor_, LOCK_EX | LOCK_NB) != 0) {
    ::close(descriptor_);
    throw Error({.what = "the folder is in use by another process",
                 .where = folder.string(),
                 .hint = "wait for that process, or choose another run.dir"});
  }
}

FolderLock::~FolderLock() {
  if (descriptor_ >= 0) ::close(descriptor_);
}

}  // namespace precis

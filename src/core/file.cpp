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
#include "precis/core/interrupt.h"
#include "precis/core/log.h"
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
  if (d.fd >= 0 && (::fsync(d.fd) == 0 || errno == EINVAL || errno == ENOTSUP)) return;  // some file systems cannot
  fail_with_errno(folder, "cannot sync the folder");
}

// "x/" as "x".
fs::path without_slash(const fs::path& path) { return path.has_filename() ? path : path.parent_path(); }

// Whether the path is a pipe, a device or the like, which is written into and never replaced.
bool is_stream(const fs::path& path) {
  std::error_code none;
  const fs::file_status status = fs::status(path, none);
  return fs::exists(status) && !fs::is_regular_file(status) && !fs::is_directory(status);
}

// Writes to an open file, and syncs it if that means something for it.
void write_to(int descriptor, const fs::path& path, const std::function<void(std::ostream&)>& fill) {
  __gnu_cxx::stdio_filebuf<char> buffer(::dup(descriptor), std::ios::out | std::ios::binary, 1 << 16);
  std::ostream stream(&buffer);
  errno = 0;
  fill(stream);
  stream.flush();
  if (!stream || (::fsync(descriptor) != 0 && errno != EINVAL && errno != EROFS && errno != ENOTSUP))
    fail_with_errno(path, "cannot write the file");
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
  if (!view().starts_with("version https://git-lfs.")) return;
  ::munmap(address, size_);
  throw Error({.what = "a Git LFS pointer in place of the file's content",
               .where = path.string(),
               .hint = "run `git lfs pull` in its folder, or download the file itself"});
}

MappedFile::~MappedFile() {
  if (data_ != nullptr) ::munmap(const_cast<std::byte*>(data_), size_);
}

std::string read_file(const fs::path& path) { return std::string(MappedFile(path).view()); }

void write_file_atomically(const fs::path& given, const std::function<void(std::ostream&)>& fill) {
  const fs::path path = without_slash(given);
  if (is_stream(path)) {
    const Descriptor d{::open(path.c_str(), O_WRONLY | O_CLOEXEC)};
    if (d.fd < 0) fail_with_errno(path, "cannot write the file");
    return write_to(d.fd, path, fill);
  }
  const fs::path name = temporary_name(path);
  const TemporaryFile temporary(name);
  {
    const Descriptor d{::open(name.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644)};
    if (d.fd < 0) fail_with_errno(path, "cannot write the file");
    write_to(d.fd, path, fill);
  }
  if (::rename(name.c_str(), path.c_str()) != 0) fail_with_errno(path, "cannot rename the temporary file");
  sync_folder(path.parent_path());
}

void write_file_atomically(const fs::path& path, std::string_view bytes) {
  write_file_atomically(
      path, [&](std::ostream& out) { out.write(bytes.data(), static_cast<std::streamsize>(bytes.size())); });
}

void append_line(const fs::path& path, std::string_view line) {
  const Descriptor d{::open(path.c_str(), O_RDWR | O_CREAT | O_APPEND | O_CLOEXEC, 0644)};
  if (d.fd < 0) fail_with_errno(path, "cannot open the file");
  const off_t size = ::lseek(d.fd, 0, SEEK_END);
  char last = '\n';  // a line that a crash left incomplete ends here
  if (size > 0 && ::pread(d.fd, &last, 1, size - 1) != 1) fail_with_errno(path, "cannot read the file");
  const std::string text = cat(last == '\n' ? "" : "\n", line, "\n");
  errno = 0;
  if (::write(d.fd, text.data(), text.size()) != static_cast<ssize_t>(text.size()) || ::fsync(d.fd) != 0) {
    const int code = errno;
    static_cast<void>(::ftruncate(d.fd, size));  // a line is appended whole or not at all
    errno = code;
    fail_with_errno(path, "cannot append a line");
  }
}

void write_folder_atomically(const fs::path& given, const std::function<void(const fs::path&)>& fill) {
  const fs::path path = without_slash(given), temporary = temporary_name(path);
  fs::remove_all(temporary);
  make_folder(temporary);
  try {
    fill(temporary);
    sync_folder(temporary);
    if (fs::exists(path)) {
      // The two change places at once; where the file system cannot, the old one steps aside first.
      if (::renameat2(AT_FDCWD, temporary.c_str(), AT_FDCWD, path.c_str(), RENAME_EXCHANGE) != 0) {
        const fs::path old = temporary_name(path);
        fs::rename(path, old);
        fs::rename(temporary, path);
        fs::remove_all(old);
      }
    } else {
      fs::rename(temporary, path);
    }
  } catch (...) {
    std::error_code ignored;
    fs::remove_all(temporary, ignored);
    throw;
  }
  sync_folder(path.parent_path());
  fs::remove_all(temporary);  // the old folder
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
  if (::flock(descriptor_, LOCK_EX | LOCK_NB) == 0) return;
  if (errno == ENOSYS || errno == ENOLCK || errno == EOPNOTSUPP) {
    log::warn(folder.string() + ": the file system has no locks; start only one process on this folder");
  } else {
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

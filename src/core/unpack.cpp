#include "precis/core/unpack.h"

#include <archive.h>
#include <archive_entry.h>
#include <zlib.h>

#include <array>
#include <cerrno>
#include <new>

#include "precis/core/error.h"
#include "precis/core/file.h"
#include "precis/core/strings.h"

namespace precis {
namespace fs = std::filesystem;

// libarchive reads tar, xz and zstd. It does not verify gzip's checksum, so zlib decompresses gzip and passes other
// data through unchanged.
struct UnpackedFile::State {
  fs::path path;
  gzFile file = nullptr;
  archive* reader = nullptr;
  archive* inner = nullptr;  // decompresses a compressed member of an archive
  bool is_archive = false, opened = false, at_end = false;
  std::string gzip_error;
  std::array<char, 1 << 16> buffer, inner_buffer;

  ~State() {
    close_inner();
    if (reader != nullptr) archive_read_free(reader);
    if (file != nullptr) gzclose(file);
  }

  static la_ssize_t refill(archive*, void* self, const void** data) {
    auto* state = static_cast<State*>(self);
    *data = state->buffer.data();
    const int bytes = gzread(state->file, state->buffer.data(), static_cast<unsigned>(state->buffer.size()));
    int code = Z_OK;
    const char* message = gzerror(state->file, &code);
    if (bytes < 0 || (code != Z_OK && code != Z_STREAM_END)) {
      state->gzip_error = code == Z_BUF_ERROR ? "the file ends in the middle of the stream" : message;
      archive_set_error(state->reader, EIO, "gzip");
      return -1;
    }
    return bytes;
  }

  void close_inner() {
    if (inner != nullptr) archive_read_free(inner);
    inner = nullptr;
  }

  static la_ssize_t refill_inner(archive*, void* self, const void** data) {
    auto* state = static_cast<State*>(self);
    *data = state->inner_buffer.data();
    return archive_read_data(state->reader, state->inner_buffer.data(), state->inner_buffer.size());
  }

  void open_inner() {
    inner = archive_read_new();
    if (inner == nullptr) throw std::bad_alloc();
    archive_read_support_filter_gzip(inner);
    archive_read_support_filter_xz(inner);
    archive_read_support_filter_zstd(inner);
    archive_read_support_format_raw(inner);
    archive_entry* entry = nullptr;
    if (archive_read_open(inner, this, nullptr, &State::refill_inner, nullptr) != ARCHIVE_OK ||
        archive_read_next_header(inner, &entry) != ARCHIVE_OK)
      fail(inner);
  }

  [[noreturn]] void fail() const { fail(reader); }
  [[noreturn]] void fail(archive* of) const {
    const char* message = archive_error_string(of);
    if (message != nullptr && std::string_view(message).find("too much memory") != std::string_view::npos)
      throw Error({.what = "zstd data with a long window",
                   .where = path.string(),
                   .expected = "a window of at most 128 MiB (zstd --long=27)",
                   .hint = "unpack it with zstd -d --long=31"});
    throw Error({.what = gzip_error.empty() ? "corrupt compressed data" : "corrupt gzip data",
                 .where = path.string(),
                 .found = !gzip_error.empty()  ? gzip_error
                          : message != nullptr ? message
                                               : "unreadable data"});
  }
};

UnpackedFile::UnpackedFile(const fs::path& path) : state_(std::make_unique<State>()), member_(path.string()) {
  State& s = *state_;
  s.path = path;
  const bool is_empty = MappedFile(path).size() == 0;  // also throws if the file is not readable
  s.at_end = false;
  s.file = gzopen(path.c_str(), "rb");
  s.reader = archive_read_new();
  if (s.file == nullptr || s.reader == nullptr)
    throw Error({.what = "cannot open the file", .where = path.string()}, Error::Kind::resources);
  const std::string name = lower_case(path.filename().string());
  if (ends_with_any(name, {".gz", ".tgz"}) && !is_empty && gzdirect(s.file) == 1)
    throw Error({.what = "corrupt gzip data", .where = path.string(), .found = "no gzip header"});
  s.is_archive = ends_with_any(name, {".tar", ".tar.gz", ".tar.xz", ".tar.zst", ".tgz", ".txz", ".tzst"});
  archive_read_support_filter_xz(s.reader);
  archive_read_support_filter_zstd(s.reader);
  if (s.is_archive) {
    archive_read_support_format_tar(s.reader);
  } else {
    archive_read_support_format_raw(s.reader);
    archive_read_support_format_empty(s.reader);
  }
  if (is_empty && s.is_archive) throw Error({.what = "empty archive", .where = path.string()});
  if (archive_read_open(s.reader, &s, nullptr, &State::refill, nullptr) != ARCHIVE_OK) s.fail();
}

UnpackedFile::~UnpackedFile() = default;

bool UnpackedFile::is_archive() const { return state_->is_archive; }

bool UnpackedFile::next_member() {
  State& s = *state_;
  if (s.at_end) return false;
  s.close_inner();
  archive_entry* entry = nullptr;
  while (true) {
    const int status = archive_read_next_header(s.reader, &entry);
    if (status == ARCHIVE_EOF) {
      const bool was_empty_file = !s.is_archive && !s.opened;
      s.at_end = s.opened = true;
      return was_empty_file;
    }
    if (status != ARCHIVE_OK && status != ARCHIVE_WARN) s.fail();
    if (s.is_archive && archive_entry_filetype(entry) != AE_IFREG) continue;
    s.opened = true;
    if (s.is_archive) member_ = archive_entry_pathname(entry);
    if (s.is_archive && ends_with_any(lower_case(member_), {".gz", ".xz", ".zst"})) s.open_inner();
    return true;
  }
}

size_t UnpackedFile::read(char* buffer, size_t size) {
  if (state_->at_end) return 0;
  archive* const from = state_->inner != nullptr ? state_->inner : state_->reader;
  const la_ssize_t bytes = archive_read_data(from, buffer, size);
  if (bytes < 0) state_->fail(from);
  return static_cast<size_t>(bytes);
}

uint64_t UnpackedFile::packed_bytes() const { return static_cast<uint64_t>(gzoffset(state_->file)); }

std::string read_unpacked(const fs::path& path, size_t limit) {
  UnpackedFile file(path);
  std::string out, buffer(1 << 18, '\0');
  if (!file.next_member()) return out;
  while (const size_t bytes = file.read(buffer.data(), buffer.size())) {
    out.append(buffer, 0, bytes);
    if (out.size() <= limit) continue;
    throw Error({.what = "the decompressed file exceeds the limit",
                 .where = path.string(),
                 .expected = cat("at most ", limit, " bytes")});
  }
  return out;
}

}  // namespace precis

#include "precis/data/corpus.h"

#include <glob.h>

#include <algorithm>
#include <set>

#include "precis/core/error.h"
#include "precis/core/json.h"
#include "precis/core/strings.h"
#include "precis/text/utf8.h"

namespace precis {
namespace fs = std::filesystem;
namespace {

enum class Kind { unknown, text, lines, archive };

Kind kind_of(std::string name) {
  name = lower_case(std::move(name));
  if (ends_with_any(name, {".tar", ".tar.gz", ".tar.xz", ".tar.zst", ".tgz", ".txz", ".tzst"})) return Kind::archive;
  for (const std::string_view packed : {".gz", ".xz", ".zst"}) {
    if (name.ends_with(packed)) name.resize(name.size() - packed.size());
  }
  if (ends_with_any(name, {".txt", ".md", ".markdown"})) return Kind::text;
  return ends_with_any(name, {".jsonl", ".ndjson"}) ? Kind::lines : Kind::unknown;
}

[[noreturn]] void fail_unknown(const std::string& where) {
  throw Error(
      {.what = "unknown kind of source",
       .where = where,
       .expected =
           ".txt, .md, .markdown, .jsonl or .ndjson, optionally with .gz, .xz or .zst, or a .tar of such files"});
}

// Files below a folder; links to folders are followed, each folder once.
void add_files_below(const fs::path& folder, std::set<fs::path>& visited, std::vector<fs::path>& files) {
  if (!visited.insert(fs::canonical(folder)).second) return;
  try {
    for (const auto& entry : fs::directory_iterator(folder)) {
      if (entry.is_directory()) {
        add_files_below(entry.path(), visited, files);
      } else if (entry.is_regular_file() && kind_of(entry.path().filename().string()) != Kind::unknown) {
        files.push_back(entry.path());
      }
    }
  } catch (const fs::filesystem_error& e) {
    throw Error({.what = "cannot read the folder", .where = folder.string(), .found = e.code().message()});
  }
}

std::vector<fs::path> files_below(const fs::path& folder) {
  std::vector<fs::path> files;
  std::set<fs::path> visited;
  add_files_below(folder, visited, files);
  std::sort(files.begin(), files.end());
  return files;
}

std::vector<fs::path> expand_glob(const std::string& pattern) {
  glob_t found{};
  const std::unique_ptr<glob_t, void (*)(glob_t*)> closer(&found, globfree);
  std::vector<fs::path> files;
  if (::glob(pattern.c_str(), 0, nullptr, &found) != 0) return files;
  for (size_t i = 0; i < found.gl_pathc; ++i) files.emplace_back(found.gl_pathv[i]);
  return files;
}

}  // namespace

std::vector<fs::path> corpus_files(const std::vector<std::string>& sources) {
  std::vector<fs::path> all;
  const auto add = [&](const fs::path& path, const std::string& source) {
    const size_t before = all.size();
    if (fs::is_directory(path)) {
      for (auto& file : files_below(path)) all.push_back(std::move(file));
    } else if (fs::exists(path)) {
      if (kind_of(path.filename().string()) == Kind::unknown) fail_unknown(path.string());
      all.push_back(path);
    }
    if (all.size() == before) throw Error({.what = "no text file in this source", .where = source});
  };
  for (const auto& source : sources) {
    if (fs::exists(source)) {
      add(source, source);
      continue;
    }
    const auto found = expand_glob(source);
    if (found.empty()) throw Error({.what = "no such file or folder, and no match as a pattern", .where = source});
    for (const auto& path : found) add(path, source);
  }
  return all;
}

CorpusReader::CorpusReader(std::vector<fs::path> files, std::string field, size_t piece_bytes)
    : files_(std::move(files)), field_(std::move(field)), piece_bytes_(piece_bytes) {}

CorpusReader::~CorpusReader() = default;

std::string CorpusReader::where() const {
  if (!file_) return files_.empty() ? "" : files_.front().string();
  const std::string file = files_[next_file_ - 1].string(), member = file_->member();
  return cat(file, member == file ? "" : cat(" (", member, ")"), lines_ ? cat(" line ", line_) : "");
}

uint64_t CorpusReader::packed_bytes() const { return finished_bytes_ + (file_ ? file_->packed_bytes() : 0); }

bool CorpusReader::open_next() {
  while (true) {
    if (!file_) {
      if (next_file_ == files_.size()) return false;
      file_ = std::make_unique<UnpackedFile>(files_[next_file_++]);
    }
    if (!file_->next_member()) {
      finished_bytes_ += fs::file_size(files_[next_file_ - 1]);
      file_.reset();
      continue;
    }
    const fs::path& file = files_[next_file_ - 1];
    const bool in_archive = kind_of(file.filename().string()) == Kind::archive;
    const Kind kind = kind_of(in_archive ? file_->member() : file.filename().string());
    if (kind == Kind::text || kind == Kind::lines) {
      lines_ = kind == Kind::lines;
      line_ = 0;
      begun_ = member_ended_ = false;
      buffer_.clear();
      read_ = 0;
      in_member_ = true;
      skip_byte_order_mark();
      return true;
    }
    if (!in_archive) fail_unknown(file.string());  // other members of an archive are skipped
  }
}

void CorpusReader::skip_byte_order_mark() {
  fill();
  if (buffer_.starts_with("\xEF\xBB\xBF")) read_ = 3;
  if (buffer_.starts_with("\xFF\xFE") || buffer_.starts_with("\xFE\xFF"))
    throw Error({.what = "not valid UTF-8",
                 .where = where(),
                 .found = "UTF-16 with a byte order mark",
                 .hint = "convert it: iconv -f UTF-16 -t UTF-8"});
}

bool CorpusReader::fill() {
  constexpr size_t step = size_t{1} << 18;
  buffer_.erase(0, read_);
  read_ = 0;
  const size_t before = buffer_.size();
  buffer_.resize(before + step);
  const size_t bytes = member_ended_ ? 0 : file_->read(buffer_.data() + before, step);
  buffer_.resize(before + bytes);
  member_ended_ = bytes == 0;
  return bytes > 0;
}

TextPiece CorpusReader::take_text(size_t bytes, bool ends) {
  TextPiece piece{buffer_.substr(read_, bytes), !begun_, ends};
  read_ += bytes;
  begun_ = true;
  if (first_invalid_utf8(piece.text) != std::string::npos) throw Error({.what = "not valid UTF-8", .where = where()});
  return piece;
}

std::optional<TextPiece> CorpusReader::next_of_text() {
  while (unread() <= piece_bytes_ && fill()) {
  }
  if (unread() <= piece_bytes_) {  // the rest of the file
    in_member_ = false;
    if (unread() == 0 && !begun_) return std::nullopt;
    return take_text(unread(), true);
  }
  const size_t end = read_ + piece_bytes_, newline = buffer_.rfind('\n', end - 1);
  size_t cut = newline == std::string::npos || newline < read_ ? end : newline + 1;
  while (cut > read_ + 1 && (static_cast<unsigned char>(buffer_[cut]) & 0xC0U) == 0x80U) --cut;  // not in a character
  return take_text(cut - read_, false);
}

std::optional<std::string> CorpusReader::next_line() {
  constexpr size_t longest = size_t{1} << 28;
  size_t end = buffer_.find('\n', read_);
  while (end == std::string::npos) {
    const size_t seen = unread();
    if (!fill()) break;
    end = buffer_.find('\n', seen);
    if (end == std::string::npos && unread() > longest)
      throw Error({.what = "a line is too long", .where = where(), .expected = cat("at most ", longest, " bytes")});
  }
  ++line_;
  const std::string line = buffer_.substr(read_, end == std::string::npos ? end : end - read_);
  read_ = end == std::string::npos ? buffer_.size() : end + 1;
  if (end == std::string::npos && line.empty()) return std::nullopt;
  return line;
}

std::optional<TextPiece> CorpusReader::next_of_lines() {
  while (const auto line = next_line()) {
    if (trim(*line).empty()) continue;
    const Json json = parse_json(*line, where());
    if (json.is_object() && json.contains("header") && !json.contains(field_)) continue;
    TextPiece piece{json_get<std::string>(json, field_, where())};
    if (!piece.text.empty()) return piece;
  }
  in_member_ = false;
  return std::nullopt;
}

std::optional<TextPiece> CorpusReader::next() {
  while (in_member_ || open_next()) {
    if (auto piece = lines_ ? next_of_lines() : next_of_text()) return piece;
  }
  return std::nullopt;
}

}  // namespace precis

// Running text: files, folders and globs of plain text, Markdown and jsonl, packed or not, read as a stream of
// documents. Memory in use does not depend on how long files or documents are.
#pragma once

#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "precis/core/unpack.h"

namespace precis {

// The files that `sources` name, in a fixed order: files as given, folders with all of their files below whose ending
// is known, globs as the shell expands them; both sorted by path. Known endings: .txt, .md, .markdown, .jsonl, .ndjson,
// each also with .gz, .xz or .zst behind it, and archives of such files (.tar, .tar.gz, .tar.xz, .tar.zst, .tgz, .txz,
// .tzst). Error for a source that gives no file.
std::vector<std::filesystem::path> corpus_files(const std::vector<std::string>& sources);

// A document, or, where it is longer than `piece_bytes`, a part of one that ends with a line (or, in a line longer than
// that, with a character).
struct TextPiece {
  std::string text;
  bool begins_document = true, ends_document = true;
};

// A plain text or Markdown file is a document; of a jsonl file every line is one, the string in `field` (a header line
// as in MRQA's files is skipped).
class CorpusReader {
 public:
  CorpusReader(std::vector<std::filesystem::path> files, std::string field, size_t piece_bytes = size_t{1} << 20);
  ~CorpusReader();

  // The next piece in order; nothing at the end. Text that is not UTF-8, a broken line and a missing field are Errors
  // that name the file and the line.
  std::optional<TextPiece> next();
  std::string where() const;      // of the last piece, for messages
  uint64_t packed_bytes() const;  // of all files, read so far

 private:
  bool fill();  // reads on in the member; false at its end
  bool open_next();
  TextPiece take_text(size_t bytes, bool ends);
  std::optional<TextPiece> next_of_text();
  std::optional<TextPiece> next_of_lines();
  std::optional<std::string> next_line();
  size_t unread() const { return buffer_.size() - read_; }

  std::vector<std::filesystem::path> files_;
  std::string field_, buffer_;
  uint64_t finished_bytes_ = 0;
  size_t piece_bytes_, read_ = 0, next_file_ = 0, line_ = 0;  // buffer_ is used up to read_
  std::unique_ptr<UnpackedFile> file_;
  bool in_member_ = false, lines_ = false, begun_ = false, member_ended_ = false;
};

}  // namespace precis

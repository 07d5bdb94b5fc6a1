// Text corpora: files, folders and globs of plain text, Markdown and jsonl, compressed or not, read as a stream of
// documents. Memory in use does not depend on the length of files or documents.
#pragma once

#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "precis/core/unpack.h"

namespace precis {

// The files that `sources` name, in a fixed order: files as given; folders, searched recursively for known extensions,
// and globs, as the shell expands them, both sorted by path. Known extensions: .txt, .md, .markdown, .jsonl, .ndjson,
// each optionally followed by .gz, .xz or .zst, and archives of such files (.tar, .tar.gz, .tar.xz, .tar.zst, .tgz,
// .txz, .tzst). Throws Error for a source without files.
std::vector<std::filesystem::path> corpus_files(const std::vector<std::string>& sources);

// A document, or a part of one if it is longer than `piece_bytes`. A part ends at a line end; in a longer line, at a
// character boundary.
struct TextPiece {
  std::string text;
  bool begins_document = true, ends_document = true;
};

// A plain text or Markdown file is one document. In a jsonl file, every line's string in `field` is a document (a
// header line as in MRQA's files is skipped).
class CorpusReader {
 public:
  CorpusReader(std::vector<std::filesystem::path> files, std::string field, size_t piece_bytes = size_t{1} << 20);
  ~CorpusReader();

  // The next piece in order; nothing at the end. Throws Error with file and line on text that is not UTF-8, on a
  // malformed line and on a missing field.
  std::optional<TextPiece> next();
  std::string where() const;      // location of the last piece, for messages
  uint64_t packed_bytes() const;  // compressed bytes read so far, over all files

 private:
  bool fill();  // reads more of the member; false at its end
  bool open_next();
  void skip_byte_order_mark();
  TextPiece take_text(size_t bytes, bool ends);
  std::optional<TextPiece> next_of_text();
  std::optional<TextPiece> next_of_lines();
  std::optional<std::string> next_line();
  size_t unread() const { return buffer_.size() - read_; }

  std::vector<std::filesystem::path> files_;
  std::string field_, buffer_;
  uint64_t finished_bytes_ = 0;
  size_t piece_bytes_, read_ = 0, next_file_ = 0, line_ = 0;  // buffer_ is consumed up to read_
  std::unique_ptr<UnpackedFile> file_;
  bool in_member_ = false, lines_ = false, begun_ = false, member_ended_ = false;
};

}  // namespace precis

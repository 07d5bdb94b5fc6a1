// Comma- and tab-separated values as RFC 4180 and spreadsheets write them.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace precis {

class DelimitedReader {
 public:
  DelimitedReader(std::string_view text, char separator) : text_(text), separator_(separator) {}

  // The next row that is not blank; nothing at the end. Quoted cells may hold separators, line ends and "" for a quote.
  // Throws Error (what, without where) if a quoted cell does not end, or goes on behind its quote.
  std::optional<std::vector<std::string>> next();
  size_t line() const { return row_line_; }  // the last row's first line, from 1

 private:
  std::string cell();
  std::string quoted_cell();
  bool ends_line() const { return at_ == text_.size() || text_[at_] == '\n' || text_[at_] == '\r'; }
  void skip_line_end();

  std::string_view text_;
  char separator_;
  size_t at_ = 0, line_ = 1, row_line_ = 1;
};

}  // namespace precis

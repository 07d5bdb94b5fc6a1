#include "delimited.h"

#include <algorithm>

#include "precis/core/error.h"

namespace precis {

void DelimitedReader::skip_line_end() {
  if (at_ < text_.size() && text_[at_] == '\r') ++at_;
  if (at_ < text_.size() && text_[at_] == '\n') ++at_;
  ++line_;
}

std::string DelimitedReader::quoted_cell() {
  std::string out;
  for (++at_; at_ < text_.size(); ++at_) {
    if (text_[at_] == '\n') ++line_;
    if (text_[at_] != '"') {
      out += text_[at_];
    } else if (at_ + 1 < text_.size() && text_[at_ + 1] == '"') {
      out += text_[++at_];
    } else {
      ++at_;
      if (ends_line() || text_[at_] == separator_) return out;
      at_ = std::min(text_.find('\n', at_), text_.size());  // the next row begins there
      throw Error({.what = "text behind the quote that ends a cell", .hint = "a quote inside a cell is doubled"});
    }
  }
  throw Error({.what = "a quoted cell does not end"});
}

std::string DelimitedReader::cell() {
  if (at_ < text_.size() && text_[at_] == '"') return quoted_cell();
  const size_t begin = at_;
  while (!ends_line() && text_[at_] != separator_) ++at_;
  return std::string(text_.substr(begin, at_ - begin));
}

std::optional<std::vector<std::string>> DelimitedReader::next() {
  while (at_ < text_.size() && ends_line()) skip_line_end();
  if (at_ == text_.size()) return std::nullopt;
  row_line_ = line_;
  std::vector<std::string> row = {cell()};
  while (!ends_line()) {
    ++at_;  // the separator
    row.push_back(cell());
  }
  if (at_ < text_.size()) skip_line_end();
  return row;
}

}  // namespace precis

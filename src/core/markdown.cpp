#include "precis/core/markdown.h"

namespace precis {
namespace {

std::string row_text(const std::vector<std::string>& cells, size_t width) {
  std::string text = "|";
  for (size_t i = 0; i < width; ++i) text += " " + (i < cells.size() ? cells[i] : std::string()) + " |";
  return text + "\n";
}

}  // namespace

std::string MarkdownTable::text() const {
  std::string text = row_text(head_, head_.size()) + "|";
  for (size_t i = 0; i < head_.size(); ++i) text += "---|";
  text += "\n";
  for (const auto& row : rows_) text += row_text(row, head_.size());
  return text;
}

}  // namespace precis

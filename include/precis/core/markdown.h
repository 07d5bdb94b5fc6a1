// Tables in Markdown.
#pragma once

#include <string>
#include <vector>

namespace precis {

class MarkdownTable {
 public:
  explicit MarkdownTable(std::vector<std::string> head) : head_(std::move(head)) {}

  // Missing cells at the end of a row are empty.
  void add(std::vector<std::string> cells) { rows_.push_back(std::move(cells)); }
  bool empty() const { return rows_.empty(); }
  std::string text() const;  // with a newline after every row

 private:
  std::vector<std::string> head_;
  std::vector<std::vector<std::string>> rows_;
};

}  // namespace precis

// The records of a data file, whatever stores them: lines of JSON, a JSON list, SQuAD's paragraphs, or rows of a table.
#pragma once

#include <functional>

#include "precis/core/json.h"

namespace precis {

struct Record {
  Json value;
  std::string where;      // for messages: file and line, or file and key path
  std::string set;        // the data set's name
  size_t number = 0;      // line, or place in the list from 1
  bool is_cells = false;  // a row of CSV or TSV: all values are texts

  std::string id() const { return set + "-" + std::to_string(number); }  // for questions without one
};

// How a file's name says that it is stored; compression is found by content.
enum class RecordFormat { json, lines, comma_separated, tab_separated, other };
RecordFormat record_format(const std::filesystem::path& path);  // "other": an unknown extension
std::string without_compression(std::string name);              // in lower case, without .gz, .xz and .zst

// Calls `use` with each record of a file, or of an archive's files in order. UTF-16 with a byte order mark is read as
// well. A record that is not well formed, or for which `use` throws an Error, goes to `on_bad`.
void for_each_record(const std::filesystem::path& path, const std::function<void(Record)>& use,
                     const std::function<void(const Error&)>& on_bad);

}  // namespace precis

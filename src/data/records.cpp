#include "records.h"

#include <iconv.h>

#include <algorithm>

#include "delimited.h"
#include "precis/core/error.h"
#include "precis/core/strings.h"
#include "precis/core/unpack.h"
#include "precis/data/qa.h"
#include "precis/text/utf8.h"

namespace precis {
namespace fs = std::filesystem;
namespace {

constexpr size_t largest = size_t{4} << 30;  // bytes of a file in memory

std::string from_utf16(std::string& bytes, const char* encoding, const std::string& where) {
  const iconv_t converter = iconv_open("UTF-8", encoding);
  std::string out(2 * bytes.size(), '\0');  // at most three bytes of UTF-8 for two of UTF-16
  char *from = bytes.data(), *to = out.data();
  size_t left = bytes.size(), room = out.size();
  const bool converted = iconv(converter, &from, &left, &to, &room) != static_cast<size_t>(-1);
  iconv_close(converter);
  if (!converted)
    throw Error({.what = cat("not valid ", encoding), .where = where, .found = cat("byte ", bytes.size() - left)});
  out.resize(out.size() - room);
  return out;
}

// UTF-8 without a byte order mark.
std::string decoded(std::string bytes, const std::string& where) {
  if (bytes.starts_with("\xEF\xBB\xBF")) return bytes.substr(3);
  const bool little = bytes.starts_with("\xFF\xFE");
  if (!little && !bytes.starts_with("\xFE\xFF")) return bytes;
  bytes.erase(0, 2);
  return from_utf16(bytes, little ? "UTF-16LE" : "UTF-16BE", where);
}

std::string rest_of(UnpackedFile& file, const std::string& where) {
  std::string out, buffer(1 << 18, '\0');
  while (const size_t bytes = file.read(buffer.data(), buffer.size())) {
    out.append(buffer, 0, bytes);
    if (out.size() > largest)
      throw Error({.what = "the file is too long", .where = where, .expected = cat("at most ", largest, " bytes")});
  }
  return decoded(std::move(out), where);
}

// Reads the records of one text.
class RecordReader {
 public:
  RecordReader(std::string set, std::string where, std::string_view text, const std::function<void(Record)>& use,
               const std::function<void(const Error&)>& on_bad)
      : set_(std::move(set)), where_(std::move(where)), text_(text), use_(use), on_bad_(on_bad) {}

  void read(RecordFormat format) {
    if (format == RecordFormat::comma_separated) return read_table(',');
    if (format == RecordFormat::tab_separated) return read_table('\t');
    format == RecordFormat::lines || first_line_is_an_object() ? read_lines() : read_document();
  }

 private:
  template <class Work>
  void guarded(const Work& work) {
    try {
      work();
    } catch (const Error& e) {
      on_bad_(e);
    }
  }

  void use(Json value, const std::string& place, size_t number, bool is_cells = false) {
    guarded([&] { use_({std::move(value), cat(where_, place), set_, number, is_cells}); });
  }

  // JSON lines under the name ".json", which many data sets have.
  bool first_line_is_an_object() const {
    const size_t end = text_.find('\n');
    return end != std::string_view::npos && text_.find_first_not_of(" \t\r\n", end) != std::string_view::npos &&
           trim(text_.substr(0, end)).starts_with('{') && Json::accept(text_.substr(0, end));
  }

  void read_lines() {
    size_t number = 0;
    for (size_t begin = 0; begin < text_.size();) {
      const size_t end = std::min(text_.find('\n', begin), text_.size());
      const std::string_view line = text_.substr(begin, end - begin);
      begin = end + 1;
      ++number;
      if (trim(line).empty()) continue;
      guarded([&] {
        const std::string place = cat(" line ", number);
        use(parse_json(line, where_ + place), place, number);
      });
    }
  }

  // A list of rows, also as the object's "data"; SQuAD's articles have the paragraphs as rows.
  void read_document() {
    if (trim(text_).empty()) return;
    const Json document = parse_json(text_, where_);
    const bool has_data = document.is_object() && document.contains("data") && document.at("data").is_array();
    if (!has_data && !document.is_array()) return use(document, "", 1);
    const Json& rows = has_data ? document.at("data") : document;
    for (size_t i = 0; i < rows.size(); ++i) {
      const std::string place = cat(has_data ? ": data[" : ": [", i, "]");
      if (!rows[i].is_object() || !rows[i].contains("paragraphs")) {
        use(rows[i], place, i + 1);
        continue;
      }
      const Json& paragraphs = rows[i].at("paragraphs");
      guarded([&] {
        if (!paragraphs.is_array())
          throw Error({.what = "the key \"paragraphs\" has the wrong type",
                       .where = where_ + place,
                       .expected = "a list",
                       .found = json_kind(paragraphs)});
        for (size_t j = 0; j < paragraphs.size(); ++j) use(paragraphs[j], cat(place, ".paragraphs[", j, "]"), j + 1);
      });
    }
  }

  void read_table(char separator) {
    DelimitedReader reader(text_, separator);
    const auto columns = reader.next();
    if (!columns) return;
    for (size_t i = 0; i < columns->size(); ++i) {
      if (std::count(columns->begin(), columns->end(), (*columns)[i]) > 1)
        throw Error({.what = cat("duplicate column \"", (*columns)[i], "\""), .where = where_ + " line 1"});
    }
    for (bool more = true; more;) {
      guarded([&] { more = read_row(reader, *columns); });
    }
  }

  bool read_row(DelimitedReader& reader, const std::vector<std::string>& columns) {
    std::optional<std::vector<std::string>> row;
    try {
      row = reader.next();
    } catch (const Error& e) {
      throw Error({.what = e.details().what, .where = cat(where_, " line ", reader.line()), .hint = e.details().hint});
    }
    if (!row) return false;
    const std::string place = cat(" line ", reader.line());
    if (row->size() != columns.size())
      throw Error({.what = "another number of cells than columns",
                   .where = where_ + place,
                   .expected = cat(columns.size()),
                   .found = cat(row->size())});
    Json value = Json::object();
    for (size_t i = 0; i < columns.size(); ++i) {
      const std::string& cell = (*row)[i];
      if (first_invalid_utf8(cell) != std::string::npos || cell.find('\0') != std::string::npos)
        throw Error({.what = "not text in UTF-8", .where = where_ + place, .found = "column " + columns[i]});
      value[columns[i]] = cell;
    }
    use(std::move(value), place, reader.line(), true);
    return true;
  }

  std::string set_, where_;
  std::string_view text_;
  const std::function<void(Record)>& use_;
  const std::function<void(const Error&)>& on_bad_;
};

}  // namespace

std::string without_compression(std::string name) {
  name = lower_case(std::move(name));
  for (const std::string_view packed : {".gz", ".xz", ".zst"}) {
    if (name.ends_with(packed)) name.resize(name.size() - packed.size());
  }
  return name;
}

RecordFormat record_format(const fs::path& path) {
  const std::string name = without_compression(path.filename().string());
  if (ends_with_any(name, {".jsonl", ".ndjson"})) return RecordFormat::lines;
  if (name.ends_with(".json")) return RecordFormat::json;
  if (name.ends_with(".csv")) return RecordFormat::comma_separated;
  return name.ends_with(".tsv") ? RecordFormat::tab_separated : RecordFormat::other;
}

std::string set_name(const fs::path& path) {
  std::string name = path.filename().string();
  name.resize(without_compression(name).size());
  for (const std::string_view end : {".jsonl", ".ndjson", ".json", ".csv", ".tsv"}) {
    if (lower_case(name).ends_with(end)) {
      name.resize(name.size() - end.size());
      break;
    }
  }
  return name;
}

void for_each_record(const fs::path& path, const std::function<void(Record)>& use,
                     const std::function<void(const Error&)>& on_bad) {
  if (ends_with_any(lower_case(path.string()), {".parquet", ".arrow"}))
    throw Error({.what = "unknown kind of data",
                 .where = path.string(),
                 .expected = "SQuAD JSON, JSON lines, a JSON list, CSV or TSV",
                 .hint = "scripts/from_hf.py converts such files"});
  UnpackedFile file(path);
  while (file.next_member()) {
    const fs::path member = file.is_archive() ? fs::path(file.member()) : path;
    const RecordFormat format = record_format(member);
    if (file.is_archive() && format == RecordFormat::other) continue;
    const std::string where = file.is_archive() ? cat(path.string(), " (", member.string(), ")") : path.string(),
                      text = rest_of(file, where);
    RecordReader(set_name(member), where, text, use, on_bad).read(format);
  }
}

}  // namespace precis

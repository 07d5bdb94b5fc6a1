// Questions from rows of any layout, by the paths and templates of data.fields.
#pragma once

#include "precis/data/qa.h"
#include "records.h"

namespace precis {

class FieldMap {
 public:
  explicit FieldMap(const FieldsConfig& fields) : fields_(fields) {}

  // The row's context with its questions. Throws Error with the record's place and the field.
  Passage passage(const Record& record) const;

 private:
  struct Field {
    std::string name, path;  // of data.fields, and its value
    bool optional = false;
  };
  Json value(const Record& record, const Field& field) const;  // null: an optional field that is missing
  std::string text(const Record& record, const Field& field) const;
  std::string instantiate(const Record& record, const Field& field) const;
  [[noreturn]] static void fail_missing(const Record& record, const Field& field, const std::string& path);

  FieldsConfig fields_;
};

// The gold answers in a value: a text, number or truth value (yes, no), a list of them, or an object with "text" as in
// SQuAD, where an empty list means that there is no answer. A letter or a whole number may name one of `options`.
// Throws Error (what, without where).
std::vector<std::string> answers_of(const Json& value, const std::vector<std::string>& options);

// A text, number or truth value as text; the texts of a list, joined by spaces. Throws Error (what, without where).
std::string text_of(const Json& value);

}  // namespace precis

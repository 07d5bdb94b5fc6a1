#include "precis/core/error.h"

namespace precis {
namespace {

std::string message_of(const ErrorDetails& d) {
  std::string text = d.where.empty() ? d.what : d.where + ": " + d.what;
  if (!d.expected.empty()) text += "; expected " + d.expected;
  if (!d.found.empty()) text += (d.expected.empty() ? "; found " : ", found ") + d.found;
  if (!d.hint.empty()) text += " (hint: " + d.hint + ")";
  return text;
}

}  // namespace

Error::Error(ErrorDetails details, Kind kind)
    : std::runtime_error(message_of(details)), details_(std::move(details)), kind_(kind) {}

void check(bool condition, const std::string& message) {
  if (!condition) throw InternalError(message);
}

}  // namespace precis

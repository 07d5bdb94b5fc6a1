// The one exception type for whatever a user can cause, and `check` for our own bugs.
// Nothing in the library ends the process; `main` turns an Error into one clear line and an exit code.
#pragma once

#include <stdexcept>
#include <string>

namespace precis {

// The parts of an error message, for the user who has to fix the problem. Empty parts are left out.
struct ErrorDetails {
  std::string what;      // what is wrong, without a full stop
  std::string where;     // file, key path, tensor name
  std::string expected;  // what would be right
  std::string found;     // the actual value
  std::string hint;      // how to fix it
};

class Error : public std::runtime_error {
 public:
  enum class Kind { failed_check = 1, input = 2, resources = 3, interrupted = 130 };  // the exit codes

  explicit Error(ErrorDetails details, Kind kind = Kind::input);

  Kind kind() const { return kind_; }
  int exit_code() const { return static_cast<int>(kind_); }
  const ErrorDetails& details() const { return details_; }

 private:
  ErrorDetails details_;
  Kind kind_;
};

// A broken invariant inside the library: our bug, not the user's error.
class InternalError : public std::logic_error {
 public:
  using std::logic_error::logic_error;
};

// Throws InternalError unless `condition` holds; `message` states the invariant, with shapes.
inline void check(bool condition, const char* message) {
  if (!condition) throw InternalError(message);
}
void check(bool condition, const std::string& message);

}  // namespace precis

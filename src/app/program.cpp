#include "precis/app/program.h"

#include <c10/util/Exception.h>
#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <cstdio>
#include <cstring>

#include "commands.h"
#include "precis/core/error.h"
#include "precis/core/interrupt.h"
#include "precis/core/strings.h"
#include "precis/text/utf8.h"

namespace precis {
namespace {

int report_error(const std::string& message, int code) {
  std::fprintf(stderr, "precis: %s\n", to_valid_utf8(message).c_str());
  return code;
}

// A file that is opened later must not take the place of a closed standard stream.
void open_standard_streams() {
  for (int descriptor = 0; descriptor <= 2; ++descriptor) {
    if (::fcntl(descriptor, F_GETFD) < 0) ::open("/dev/null", descriptor == 0 ? O_RDONLY : O_WRONLY);
  }
}

// Output that cannot be written is an error, for instance on a full disk.
void flush_output() {
  if (std::fflush(stdout) != 0 || std::ferror(stdout) != 0)
    throw Error({.what = "cannot write the output", .where = "standard output", .found = std::strerror(errno)},
                Error::Kind::resources);
}

// "precis-train ..." is "precis train ...".
std::vector<std::string> words_of(int argc, char** argv) {
  std::vector<std::string> words(argv + 1, argv + argc);
  const std::string name = std::filesystem::path(argv[0]).filename().string();
  if (name == "precis-train" || name == "precis-eval") words.insert(words.begin(), name.substr(7));
  return words;
}

}  // namespace

int run_program(int argc, char** argv, const CompressorRegistry& registry) {
  open_standard_streams();
  install_interrupt_handlers();
  std::signal(SIGXFSZ, SIG_IGN);  // a limit on file sizes is an error of the write
  try {
    const int code = run_command_line(words_of(argc, argv), registry);
    flush_output();
    return code;
  } catch (const Error& e) {
    std::fflush(stdout);
    return report_error(e.what(), e.exit_code());
  } catch (const std::bad_alloc&) {
    return report_error("out of memory", 3);
  } catch (const c10::Error& e) {
    const std::string message = e.what_without_backtrace();
    const bool out_of_memory = message.find("can't allocate memory") != std::string::npos ||
                               message.find("out of memory") != std::string::npos;
    return report_error(cat(out_of_memory ? "out of memory: " : "internal error: ", excerpt(message, 400)),
                        out_of_memory ? 3 : 1);
  } catch (const std::filesystem::filesystem_error& e) {
    return report_error(e.what(), 2);
  } catch (const std::exception& e) {
    return report_error(cat("internal error: ", e.what()), 1);
  }
}

}  // namespace precis

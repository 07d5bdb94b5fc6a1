// The log: time-stamped lines on standard error; standard output carries results only.
// Only log.cpp includes spdlog, whose headers clash with LibTorch's.
#pragma once

#include <string>

namespace precis::log {

enum class Level { debug, info, warn, error, off };

void set_level(Level level);
void debug(const std::string& message);
void info(const std::string& message);
void warn(const std::string& message);
void error(const std::string& message);

}  // namespace precis::log

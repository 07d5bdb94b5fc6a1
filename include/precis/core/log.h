// The log: time-stamped lines on standard error, so that standard output carries results only.
// spdlog does the work inside log.cpp; its headers clash with LibTorch's and are seen nowhere else.
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

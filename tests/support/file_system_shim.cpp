// Preloaded in tests: flock and a folder's fsync answer as some file systems do (SHIM_FLOCK, SHIM_FOLDER_SYNC: errno).
#include <dlfcn.h>
#include <sys/stat.h>

#include <cerrno>
#include <cstdlib>

namespace {

bool fails_as(const char* name) {
  const char* value = std::getenv(name);
  if (value == nullptr) return false;
  errno = std::atoi(value);
  return true;
}

template <class F>
F next(const char* name) {
  return reinterpret_cast<F>(dlsym(RTLD_NEXT, name));
}

}  // namespace

extern "C" int flock(int descriptor, int operation) noexcept {
  if (fails_as("SHIM_FLOCK")) return -1;
  return next<int (*)(int, int)>("flock")(descriptor, operation);
}

extern "C" int fsync(int descriptor) {
  struct stat info {};
  if (fstat(descriptor, &info) == 0 && S_ISDIR(info.st_mode) && fails_as("SHIM_FOLDER_SYNC")) return -1;
  return next<int (*)(int)>("fsync")(descriptor);
}

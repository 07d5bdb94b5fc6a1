// For ThreadSanitizer. LibTorch's libgomp is not instrumented, so the sanitizer does not see that a parallel region
// begins after what its caller did before and ends before what it does next; every region would look like a race. This
// function stands in front of libgomp's own of that name and states both edges, and nothing about what happens between
// the threads of a region: races between them are reported.
#include <dlfcn.h>
#include <sanitizer/tsan_interface.h>

namespace {

struct Region {
  void (*body)(void*);
  void* data;
  char begin, end;  // addresses that stand for the two edges
};

void run_region(void* given) {
  auto* region = static_cast<Region*>(given);
  __tsan_acquire(&region->begin);
  region->body(region->data);
  __tsan_release(&region->end);
}

}  // namespace

extern "C" __attribute__((visibility("default"))) void GOMP_parallel(void (*body)(void*), void* data, unsigned threads,
                                                                     unsigned flags) {
  using Parallel = void (*)(void (*)(void*), void*, unsigned, unsigned);
  static const auto parallel = reinterpret_cast<Parallel>(dlsym(RTLD_NEXT, "GOMP_parallel"));
  Region region{body, data, 0, 0};
  __tsan_release(&region.begin);
  parallel(run_region, &region, threads, flags);
  __tsan_acquire(&region.end);
}

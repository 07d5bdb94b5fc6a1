#include "precis/weights/weight_pool.h"

#include <torch/types.h>

#include <algorithm>
#include <cstdlib>
#include <new>
#if defined(__linux__)
#include <sys/mman.h>
#endif

namespace precis {
namespace {

constexpr int64_t huge_page = 2 << 20, block_bytes = 32 * huge_page, alignment = 64;

int64_t rounded_up(int64_t bytes, int64_t unit) { return (bytes + unit - 1) / unit * unit; }

// The system allocates pages on first write, so the unused end of a block costs no memory.
std::shared_ptr<char> new_block(int64_t bytes) {
  auto* data = static_cast<char*>(std::aligned_alloc(huge_page, static_cast<size_t>(bytes)));
  if (data == nullptr) throw std::bad_alloc();
#if defined(__linux__)
  madvise(data, static_cast<size_t>(bytes), MADV_HUGEPAGE);  // no effect if the kernel has no huge pages
#endif
  return {data, [](char* p) { std::free(p); }};
}

}  // namespace

Tensor WeightPool::keep(const Tensor& t) {
  if (!t.defined() || !t.device().is_cpu() || t.requires_grad()) return t;
  const auto bytes = static_cast<int64_t>(t.nbytes());
  if (used_ + bytes > size_) {
    size_ = std::max(block_bytes, rounded_up(bytes, huge_page));
    block_ = new_block(size_);
    used_ = 0;
  }
  const auto block = block_;
  Tensor out = torch::from_blob(
      block.get() + used_, t.sizes(), [block](void*) {}, t.options());
  used_ += rounded_up(bytes, alignment);
  return out.copy_(t);
}

}  // namespace precis

// Memory for frozen weights on the CPU: large contiguous blocks, in huge pages if the system has them. Decoding reads
// every weight once per token; with pages of 4 KiB, half of that time goes into address translation.
#pragma once

#include <ATen/core/Tensor.h>

#include <memory>

namespace precis {

using at::Tensor;

class WeightPool {
 public:
  // A contiguous copy of `t` in the pool, which lives as long as its tensors. Returns `t` itself on other devices and
  // if it requires gradients.
  Tensor keep(const Tensor& t);

 private:
  std::shared_ptr<char> block_;
  int64_t used_ = 0, size_ = 0;  // bytes
};

}  // namespace precis

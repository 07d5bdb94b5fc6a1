// Memory for frozen weights on the CPU: one after another in large blocks of huge pages, where the system has them.
// Decoding reads every weight once a token; with pages of 4 KiB half of that time goes into finding them.
#pragma once

#include <ATen/core/Tensor.h>

#include <memory>

namespace precis {

using at::Tensor;

class WeightPool {
 public:
  // A contiguous copy of `t` in the pool, which lives as long as the tensors in it. Itself where there is no point in
  // one: on another device, and where gradients flow into it.
  Tensor keep(const Tensor& t);

 private:
  std::shared_ptr<char> block_;
  int64_t used_ = 0, size_ = 0;  // bytes
};

}  // namespace precis

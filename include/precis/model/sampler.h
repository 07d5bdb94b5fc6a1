// Chooses the next tokens from logits.
#pragma once

#include <ATen/core/Generator.h>

#include "precis/model/generate.h"

namespace precis {

class Sampler {
 public:
  explicit Sampler(const GenerateOptions& options);

  // Next ids, int64 [B], from logits [B, V]. Samples on the CPU, so that a seed gives the same text on every device.
  Tensor next(const Tensor& logits);
  // Whether generation ends at this token.
  bool ends(int64_t id) const;

 private:
  GenerateOptions options_;
  at::Generator generator_;
};

}  // namespace precis

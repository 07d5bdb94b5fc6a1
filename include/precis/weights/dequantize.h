// GGUF tensor data to fp32: plain types and the block quantisations of ggml (ggml-quants, block layouts).
#pragma once

#include <ATen/core/Tensor.h>

#include "precis/core/gguf.h"

namespace precis {

// The tensor in fp32, [shape], bit-equal to ggml's reference. Throws Error on an unsupported type or data outside the
// file.
at::Tensor dequantize(const GgufFile& file, const std::string& name);

// ggml's name of a type number ("Q4_1"), "?" for an unknown one.
std::string gguf_type_name(uint32_t type);

}  // namespace precis

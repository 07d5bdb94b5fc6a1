#include "precis/weights/dequantize.h"

#include <ATen/Parallel.h>
#include <ATen/ops/empty.h>

#include "blocks.h"
#include "precis/core/error.h"
#include "precis/core/strings.h"

namespace precis {
namespace {

const BlockFormat* format_of(uint32_t type) {
  for (const auto* formats : {&scaled_formats(), &code_book_formats()}) {
    for (const auto& format : *formats) {
      if (format.type == type) return &format;
    }
  }
  return nullptr;
}

// Types of ggml that are not weights, or that it has given up.
constexpr std::pair<uint32_t, const char*> other_types[] = {
    {4, "Q4_2"},        {5, "Q4_3"},        {9, "Q8_1"},        {24, "I8"},       {25, "I16"},
    {26, "I32"},        {27, "I64"},        {31, "Q4_0_4_4"},   {32, "Q4_0_4_8"}, {33, "Q4_0_8_8"},
    {36, "IQ4_NL_4_4"}, {37, "IQ4_NL_4_8"}, {38, "IQ4_NL_8_8"}, {41, "Q1_0"}};

}  // namespace

std::string gguf_type_name(uint32_t type) {
  if (const BlockFormat* format = format_of(type)) return format->name;
  for (const auto& [number, name] : other_types) {
    if (number == type) return name;
  }
  return "?";
}

at::Tensor dequantize(const GgufFile& file, const std::string& name) {
  const std::string where = file.path() + ": " + name;
  const auto found = file.tensors().find(name);
  if (found == file.tensors().end()) throw Error({.what = "the tensor is missing", .where = where});
  const GgufTensor& tensor = found->second;
  const BlockFormat* format = format_of(tensor.type);
  if (format == nullptr) {
    throw Error({.what = "unsupported quantisation",
                 .where = where,
                 .expected = "a float type, Q2_K to Q8_K, Q4_0 to Q8_0, IQ1_S to IQ4_XS, TQ1_0, TQ2_0, MXFP4 or NVFP4",
                 .found = cat("ggml type ", tensor.type, " (", gguf_type_name(tensor.type), ")"),
                 .hint = "quantise the model to one of these, such as Q8_0 or Q4_K_M"});
  }
  if (tensor.shape.back() % format->weights != 0) {
    throw Error({.what = cat("rows of ", tensor.shape.back(), " weights are not a multiple of the block size ",
                             format->weights),
                 .where = where});
  }
  int64_t elements = 1;
  for (const int64_t size : tensor.shape) elements *= size;
  const int64_t blocks = elements / format->weights;
  const std::string_view data = file.data(tensor);
  if (static_cast<size_t>(blocks * format->bytes) > data.size()) {
    throw Error({.what = "the tensor's data runs past the end of the file",
                 .where = where,
                 .expected = cat(blocks * format->bytes, " bytes"),
                 .found = cat(data.size())});
  }
  const auto* in = reinterpret_cast<const uint8_t*>(data.data());
  at::Tensor out = at::empty(tensor.shape, at::kFloat);
  float* to = out.data_ptr<float>();
  at::parallel_for(0, blocks, 4096, [&](int64_t begin, int64_t end) {
    for (int64_t b = begin; b < end; ++b) format->dequantize(in + b * format->bytes, to + b * format->weights);
  });
  return out;
}

}  // namespace precis

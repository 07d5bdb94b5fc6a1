#include "precis/weights/dequantize.h"

#include <ATen/Parallel.h>
#include <ATen/ops/empty.h>
#include <c10/util/BFloat16.h>
#include <c10/util/Half.h>

#include <cstring>

#include "precis/core/error.h"
#include "precis/core/strings.h"

namespace precis {
namespace {

using Byte = uint8_t;

float half_at(const Byte* p) {
  c10::Half h;
  std::memcpy(&h, p, 2);
  return static_cast<float>(h);
}

void f32_block(const Byte* in, float* out) { std::memcpy(out, in, 4); }
void f16_block(const Byte* in, float* out) { *out = half_at(in); }
void bf16_block(const Byte* in, float* out) {
  c10::BFloat16 b;
  std::memcpy(&b, in, 2);
  *out = static_cast<float>(b);
}

void q8_0_block(const Byte* in, float* out) {
  const float d = half_at(in);
  for (int i = 0; i < 32; ++i) out[i] = d * static_cast<float>(static_cast<int8_t>(in[2 + i]));
}

void q4_0_block(const Byte* in, float* out) {
  const float d = half_at(in);
  for (int i = 0; i < 16; ++i) {
    out[i] = d * static_cast<float>((in[2 + i] & 15) - 8);
    out[i + 16] = d * static_cast<float>((in[2 + i] >> 4) - 8);
  }
}

void q4_1_block(const Byte* in, float* out) {
  const float d = half_at(in), m = half_at(in + 2);
  for (int i = 0; i < 16; ++i) {
    out[i] = d * static_cast<float>(in[4 + i] & 15) + m;
    out[i + 16] = d * static_cast<float>(in[4 + i] >> 4) + m;
  }
}

// The 5-bit types: `high` has bit i for weight i.
void q5_values(const Byte* high, const Byte* nibbles, int* out) {
  uint32_t bits;
  std::memcpy(&bits, high, 4);
  for (int i = 0; i < 16; ++i) {
    out[i] = (nibbles[i] & 15) | static_cast<int>(bits >> i & 1) << 4;
    out[i + 16] = (nibbles[i] >> 4) | static_cast<int>(bits >> (i + 16) & 1) << 4;
  }
}

void q5_0_block(const Byte* in, float* out) {
  const float d = half_at(in);
  int q[32];
  q5_values(in + 2, in + 6, q);
  for (int i = 0; i < 32; ++i) out[i] = d * static_cast<float>(q[i] - 16);
}

void q5_1_block(const Byte* in, float* out) {
  const float d = half_at(in), m = half_at(in + 2);
  int q[32];
  q5_values(in + 4, in + 8, q);
  for (int i = 0; i < 32; ++i) out[i] = d * static_cast<float>(q[i]) + m;
}

// 256 weights: fp16 d, fp16 dmin, 12 bytes with eight 6-bit scales and minima, 128 bytes of nibbles.
void q4_k_block(const Byte* in, float* out) {
  const float d = half_at(in), dmin = half_at(in + 2);
  const Byte* s = in + 4;
  const Byte* q = in + 16;
  for (int j = 0; j < 8; ++j) {
    const int scale = j < 4 ? s[j] & 63 : (s[j + 4] & 15) | (s[j - 4] >> 6) << 4;
    const int minimum = j < 4 ? s[j + 4] & 63 : (s[j + 4] >> 4) | (s[j] >> 6) << 4;
    const float d1 = d * static_cast<float>(scale), m1 = dmin * static_cast<float>(minimum);
    for (int i = 0; i < 32; ++i) {
      const Byte byte = q[32 * (j / 2) + i];
      out[32 * j + i] = d1 * static_cast<float>(j % 2 == 0 ? byte & 15 : byte >> 4) - m1;
    }
  }
}

// 256 weights: 128 bytes of low nibbles, 64 bytes of high bit pairs, 16 int8 scales, fp16 d.
void q6_k_block(const Byte* in, float* out) {
  const Byte *low = in, *high = in + 128, *scales = in + 192;
  const float d = half_at(in + 208);
  for (int part = 0; part < 2; ++part, low += 64, high += 32, scales += 8, out += 128) {
    for (int i = 0; i < 32; ++i) {
      const int quarters[4] = {(low[i] & 15) | (high[i] & 3) << 4, (low[i + 32] & 15) | (high[i] >> 2 & 3) << 4,
                               (low[i] >> 4) | (high[i] >> 4 & 3) << 4, (low[i + 32] >> 4) | (high[i] >> 6 & 3) << 4};
      for (int k = 0; k < 4; ++k) {
        const float scale = d * static_cast<float>(static_cast<int8_t>(scales[i / 16 + 2 * k]));
        out[i + 32 * k] = scale * static_cast<float>(quarters[k] - 32);
      }
    }
  }
}

struct Layout {
  uint32_t type;
  const char* name;
  int64_t weights;  // per block
  int64_t bytes;    // per block
  void (*block)(const Byte*, float*);
};

constexpr Layout layouts[] = {{0, "F32", 1, 4, f32_block},        {1, "F16", 1, 2, f16_block},
                              {30, "BF16", 1, 2, bf16_block},     {8, "Q8_0", 32, 34, q8_0_block},
                              {2, "Q4_0", 32, 18, q4_0_block},    {3, "Q4_1", 32, 20, q4_1_block},
                              {6, "Q5_0", 32, 22, q5_0_block},    {7, "Q5_1", 32, 24, q5_1_block},
                              {12, "Q4_K", 256, 144, q4_k_block}, {14, "Q6_K", 256, 210, q6_k_block}};

const Layout* layout_of(uint32_t type) {
  for (const auto& layout : layouts) {
    if (layout.type == type) return &layout;
  }
  return nullptr;
}

}  // namespace

std::string gguf_type_name(uint32_t type) {
  const Layout* layout = layout_of(type);
  return layout == nullptr ? "?" : layout->name;
}

at::Tensor dequantize(const GgufFile& file, const std::string& name) {
  const std::string where = file.path() + ": " + name;
  const auto found = file.tensors().find(name);
  if (found == file.tensors().end()) throw Error({.what = "the tensor is missing", .where = where});
  const GgufTensor& tensor = found->second;
  const Layout* layout = layout_of(tensor.type);
  if (layout == nullptr) {
    throw Error({.what = "unsupported quantisation",
                 .where = where,
                 .expected = "F32, F16, BF16, Q8_0, Q4_0, Q4_1, Q5_0, Q5_1, Q4_K or Q6_K",
                 .found = cat("ggml type ", tensor.type)});
  }
  if (tensor.shape.back() % layout->weights != 0) {
    throw Error({.what = cat("rows of ", tensor.shape.back(), " weights are not a multiple of the block size ",
                             layout->weights),
                 .where = where});
  }
  int64_t elements = 1;
  for (const int64_t size : tensor.shape) elements *= size;
  const int64_t blocks = elements / layout->weights;
  if (static_cast<size_t>(blocks * layout->bytes) > file.file().size() - tensor.offset) {
    throw Error({.what = "the tensor's data runs past the end of the file",
                 .where = where,
                 .expected = cat(blocks * layout->bytes, " bytes"),
                 .found = cat(file.file().size() - tensor.offset)});
  }
  const Byte* in = reinterpret_cast<const Byte*>(file.file().data()) + tensor.offset;
  at::Tensor out = at::empty(tensor.shape, at::kFloat);
  float* to = out.data_ptr<float>();
  at::parallel_for(0, blocks, 4096, [&](int64_t begin, int64_t end) {
    for (int64_t b = begin; b < end; ++b) layout->block(in + b * layout->bytes, to + b * layout->weights);
  });
  return out;
}

}  // namespace precis

#include "blocks.h"

#include <c10/util/BFloat16.h>
#include <c10/util/Half.h>

#include <cmath>
#include <cstring>

namespace precis {

float half_at(const uint8_t* bytes) {
  c10::Half h;
  std::memcpy(&h, bytes, 2);
  return static_cast<float>(h);
}

namespace {

using Byte = uint8_t;

float signed_at(const Byte* p) { return static_cast<float>(static_cast<int8_t>(*p)); }

void f32_block(const Byte* in, float* out) { std::memcpy(out, in, 4); }
void f16_block(const Byte* in, float* out) { *out = half_at(in); }
void bf16_block(const Byte* in, float* out) {
  c10::BFloat16 b;
  std::memcpy(&b, in, 2);
  *out = static_cast<float>(b);
}

void f64_block(const Byte* in, float* out) {
  double value;
  std::memcpy(&value, in, 8);
  *out = static_cast<float>(value);
}

void q8_0_block(const Byte* in, float* out) {
  const float d = half_at(in);
  for (int i = 0; i < 32; ++i) out[i] = d * signed_at(in + 2 + i);
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

// 256 weights: 16 bytes of 4-bit scales and minima, 64 bytes of bit pairs, fp16 d, fp16 dmin.
void q2_k_block(const Byte* in, float* out) {
  const Byte* pairs = in + 16;
  const float d = half_at(in + 80), dmin = half_at(in + 82);
  for (int i = 0; i < 256; ++i) {
    const int scale = in[i / 16], q = pairs[i / 128 * 32 + i % 32] >> (i % 128 / 32 * 2) & 3;
    out[i] = d * static_cast<float>(scale & 15) * static_cast<float>(q) - dmin * static_cast<float>(scale >> 4);
  }
}

// 256 weights: 32 bytes of inverted high bits, 64 bytes of bit pairs, 12 bytes with sixteen 6-bit scales, fp16 d.
void q3_k_block(const Byte* in, float* out) {
  const Byte *high = in, *pairs = in + 32, *packed = in + 96;
  const float d = half_at(in + 108);
  float scales[16];
  for (int j = 0; j < 16; ++j) {
    const int low = j < 8 ? packed[j] & 15 : packed[j - 8] >> 4, top = packed[8 + j % 4] >> (j / 4 * 2) & 3;
    scales[j] = d * static_cast<float>((low | top << 4) - 32);
  }
  for (int i = 0; i < 256; ++i) {
    const int q = pairs[i / 128 * 32 + i % 32] >> (i % 128 / 32 * 2) & 3, bit = high[i % 32] >> (i / 32) & 1;
    out[i] = scales[i / 16] * static_cast<float>(bit == 1 ? q : q - 4);
  }
}

// Scale and minimum of the eight sub-blocks of Q4_K and Q5_K: fp16 d, fp16 dmin, 12 bytes with 6-bit numbers.
struct SubBlock {
  float scale, minimum;
};
SubBlock sub_block_of(const Byte* in, int j) {
  const Byte* s = in + 4;
  const int scale = j < 4 ? s[j] & 63 : (s[j + 4] & 15) | (s[j - 4] >> 6) << 4;
  const int minimum = j < 4 ? s[j + 4] & 63 : (s[j + 4] >> 4) | (s[j] >> 6) << 4;
  return {half_at(in) * static_cast<float>(scale), half_at(in + 2) * static_cast<float>(minimum)};
}

// 256 weights: the numbers of the sub-blocks, 128 bytes of nibbles.
void q4_k_block(const Byte* in, float* out) {
  const Byte* q = in + 16;
  for (int j = 0; j < 8; ++j) {
    const SubBlock b = sub_block_of(in, j);
    for (int i = 0; i < 32; ++i) {
      const int value = q[32 * (j / 2) + i] >> (j % 2 * 4) & 15;
      out[32 * j + i] = b.scale * static_cast<float>(value) - b.minimum;
    }
  }
}

// 256 weights: the numbers of the sub-blocks, 32 bytes of high bits, 128 bytes of nibbles.
void q5_k_block(const Byte* in, float* out) {
  const Byte *high = in + 16, *q = in + 48;
  for (int j = 0; j < 8; ++j) {
    const SubBlock b = sub_block_of(in, j);
    for (int i = 0; i < 32; ++i) {
      const int value = (q[32 * (j / 2) + i] >> (j % 2 * 4) & 15) | (high[i] >> j & 1) << 4;
      out[32 * j + i] = b.scale * static_cast<float>(value) - b.minimum;
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
        const float scale = d * signed_at(scales + i / 16 + 2 * k);
        out[i + 32 * k] = scale * static_cast<float>(quarters[k] - 32);
      }
    }
  }
}

// 256 weights: fp32 d, 256 int8, sums of 16 that only ggml's products use.
void q8_k_block(const Byte* in, float* out) {
  float d;
  std::memcpy(&d, in, 4);
  for (int i = 0; i < 256; ++i) out[i] = d * signed_at(in + 4 + i);
}

// Digit `n` of the five base-3 digits that a byte holds as a fraction of 256, less 1.
float ternary(Byte byte, int n) {
  static constexpr int powers[] = {1, 3, 9, 27, 81};
  return static_cast<float>((static_cast<Byte>(byte * powers[n]) * 3 >> 8) - 1);
}

// 256 weights: 32 and 16 bytes of five digits, 4 bytes of four, fp16 d. Digit n of all bytes, then digit n + 1.
void tq1_0_block(const Byte* in, float* out) {
  const float d = half_at(in + 52);
  for (int i = 0; i < 160; ++i) out[i] = d * ternary(in[i % 32], i / 32);
  for (int i = 0; i < 80; ++i) out[160 + i] = d * ternary(in[32 + i % 16], i / 16);
  for (int i = 0; i < 16; ++i) out[240 + i] = d * ternary(in[48 + i % 4], i / 4);
}

// 256 weights: 64 bytes of bit pairs, fp16 d.
void tq2_0_block(const Byte* in, float* out) {
  const float d = half_at(in + 64);
  for (int i = 0; i < 256; ++i) {
    const int q = in[i / 128 * 32 + i % 32] >> (i % 128 / 32 * 2) & 3;
    out[i] = d * static_cast<float>(q - 1);
  }
}

// Twice the values of E2M1 (OCP Microscaling Formats 1.0).
constexpr float doubled_e2m1[16] = {0, 1, 2, 3, 4, 6, 8, 12, 0, -1, -2, -3, -4, -6, -8, -12};

// 32 weights: an exponent (E8M0), 16 bytes of nibbles.
void mxfp4_block(const Byte* in, float* out) {
  const uint32_t bits = in[0] < 2 ? 0x00200000u << in[0] : static_cast<uint32_t>(in[0] - 1) << 23;  // half of 2^(e-127)
  float d;
  std::memcpy(&d, &bits, 4);
  for (int i = 0; i < 16; ++i) {
    out[i] = d * doubled_e2m1[in[1 + i] & 15];
    out[i + 16] = d * doubled_e2m1[in[1 + i] >> 4];
  }
}

// Half of an unsigned E4M3 number; 127, its NaN, counts as 0.
float half_of_e4m3(Byte x) {
  if (x == 0 || x == 127) return 0;
  const int exponent = x >> 3 & 15;
  const auto mantissa = static_cast<float>(x & 7);
  return exponent == 0 ? std::ldexp(mantissa, -10) : std::ldexp(1 + mantissa / 8, exponent - 8);
}

// 64 weights: four scales (E4M3), 32 bytes of nibbles.
void nvfp4_block(const Byte* in, float* out) {
  for (int i = 0; i < 32; ++i) {
    const float d = half_of_e4m3(in[i / 8]);
    float* pair = out + i / 8 * 16 + i % 8;
    pair[0] = d * doubled_e2m1[in[4 + i] & 15];
    pair[8] = d * doubled_e2m1[in[4 + i] >> 4];
  }
}

}  // namespace

const std::vector<BlockFormat>& scaled_formats() {
  static const std::vector<BlockFormat> formats = {
      {0, "F32", 1, 4, f32_block},         {1, "F16", 1, 2, f16_block},         {2, "Q4_0", 32, 18, q4_0_block},
      {3, "Q4_1", 32, 20, q4_1_block},     {6, "Q5_0", 32, 22, q5_0_block},     {7, "Q5_1", 32, 24, q5_1_block},
      {8, "Q8_0", 32, 34, q8_0_block},     {10, "Q2_K", 256, 84, q2_k_block},   {11, "Q3_K", 256, 110, q3_k_block},
      {12, "Q4_K", 256, 144, q4_k_block},  {13, "Q5_K", 256, 176, q5_k_block},  {14, "Q6_K", 256, 210, q6_k_block},
      {15, "Q8_K", 256, 292, q8_k_block},  {28, "F64", 1, 8, f64_block},        {30, "BF16", 1, 2, bf16_block},
      {34, "TQ1_0", 256, 54, tq1_0_block}, {35, "TQ2_0", 256, 66, tq2_0_block}, {39, "MXFP4", 32, 17, mxfp4_block},
      {40, "NVFP4", 64, 36, nvfp4_block}};
  return formats;
}

}  // namespace precis

// The IQ types: a block's weights are entries of a code book, with signs and scales.
#include <bit>

#include "blocks.h"
#include "code_books.h"

namespace precis {
namespace {

// The signs of eight weights from seven bits; the number of minus signs is even.
uint8_t eight_signs(uint32_t bits) {
  bits &= 127;
  return static_cast<uint8_t>(bits | (static_cast<uint32_t>(std::popcount(bits)) & 1) << 7);
}

// `width` weights: scale * entry, negative where `signs` has a bit.
template <size_t width>
void put_signed(float scale, const std::array<int8_t, width>& entry, int signs, float* out) {
  for (size_t i = 0; i < width; ++i) out[i] = scale * static_cast<float>(entry[i]) * (signs >> i & 1 ? -1.0F : 1.0F);
}

int nibble(const uint8_t* bytes, int index) { return bytes[index / 2] >> (index % 2 * 4) & 15; }

// The scale of the IQ2 types: d (1/2 + s) / 4.
float iq2_scale(float d, int s) { return d * (0.5F + static_cast<float>(s)) * 0.25F; }

// fp16 d, then eight times: four indices, four times seven signs and a 4-bit scale.
void iq2_xxs_block(const uint8_t* in, float* out) {
  const float d = half_at(in);
  for (int i = 0; i < 32; ++i) {
    const uint8_t* group = in + 2 + i / 4 * 8;
    const uint32_t rest = u32_at(group + 4);
    put_signed(iq2_scale(d, static_cast<int>(rest >> 28)), iq2_xxs_book[group[i % 4]], eight_signs(rest >> (i % 4 * 7)),
               out + 8 * i);
  }
}

// fp16 d, 32 times nine bits of index and seven signs, 16 4-bit scales.
void iq2_xs_block(const uint8_t* in, float* out) {
  const float d = half_at(in);
  for (int i = 0; i < 32; ++i) {
    const uint32_t code = u16_at(in + 2 + 2 * i);
    put_signed(iq2_scale(d, nibble(in + 66, i / 2)), iq2_xs_book[code & 511], eight_signs(code >> 9), out + 8 * i);
  }
}

// fp16 d, 32 low bytes of indices, 32 bytes of signs, 8 bytes of high bits, 16 4-bit scales.
void iq2_s_block(const uint8_t* in, float* out) {
  const float d = half_at(in);
  for (int i = 0; i < 32; ++i) {
    const int index = in[2 + i] | (in[66 + i / 4] >> (i % 4 * 2) & 3) << 8;
    put_signed(iq2_scale(d, nibble(in + 74, i / 2)), iq2_s_book[static_cast<size_t>(index)], in[34 + i], out + 8 * i);
  }
}

// fp16 d, 64 indices, then eight times: four times seven signs and a 4-bit scale.
void iq3_xxs_block(const uint8_t* in, float* out) {
  const float d = half_at(in);
  for (int i = 0; i < 64; ++i) {
    const uint32_t rest = u32_at(in + 66 + i / 8 * 4);
    const float scale = d * (0.5F + static_cast<float>(rest >> 28)) * 0.5F;
    put_signed(scale, iq3_xxs_book[in[2 + i]], eight_signs(rest >> (i % 8 / 2 * 7)) >> (i % 2 * 4), out + 4 * i);
  }
}

// fp16 d, 64 low bytes of indices, 8 bytes of high bits, 32 bytes of signs, 8 4-bit scales.
void iq3_s_block(const uint8_t* in, float* out) {
  const float d = half_at(in);
  for (int i = 0; i < 64; ++i) {
    const int index = in[2 + i] | (in[66 + i / 8] >> (i % 8) & 1) << 8;
    const float scale = d * static_cast<float>(1 + 2 * nibble(in + 106, i / 8));
    put_signed(scale, iq3_s_book[static_cast<size_t>(index)], in[74 + i / 2] >> (i % 2 * 4), out + 4 * i);
  }
}

// Eight weights of the IQ1 types: scale (entry + or - 1/8).
void put_shifted(float scale, const std::array<int8_t, 8>& entry, bool minus, float* out) {
  for (size_t i = 0; i < 8; ++i) out[i] = scale * (static_cast<float>(entry[i]) + (minus ? -0.125F : 0.125F));
}

// fp16 d, 32 low bytes of indices, eight times: four times three high bits, a 3-bit scale, a sign of the shift.
void iq1_s_block(const uint8_t* in, float* out) {
  const float d = half_at(in);
  for (int i = 0; i < 32; ++i) {
    const int high = u16_at(in + 34 + i / 4 * 2), index = in[2 + i] | (high >> (i % 4 * 3) & 7) << 8;
    const float scale = d * static_cast<float>(2 * (high >> 12 & 7) + 1);
    put_shifted(scale, iq1_book[static_cast<size_t>(index)], (high & 0x8000) != 0, out + 8 * i);
  }
}

// 32 low bytes of indices, 32 times three high bits and a sign of the shift, 16 3-bit scales with fp16 d in their gaps.
void iq1_m_block(const uint8_t* in, float* out) {
  const uint8_t* scales = in + 48;
  const int bits = u16_at(scales) >> 12 | (u16_at(scales + 2) >> 12) << 4 | (u16_at(scales + 4) >> 12) << 8 |
                   (u16_at(scales + 6) >> 12) << 12;
  const uint8_t bytes[2] = {static_cast<uint8_t>(bits & 255), static_cast<uint8_t>(bits >> 8)};
  const float d = half_at(bytes);
  for (int i = 0; i < 32; ++i) {
    const int high = nibble(in + 32, i), index = in[i] | (high & 7) << 8;
    const int s = u16_at(scales + i / 8 * 2) >> (i / 2 % 4 * 3) & 7;
    put_shifted(d * static_cast<float>(2 * s + 1), iq1_book[static_cast<size_t>(index)], (high & 8) != 0, out + 8 * i);
  }
}

constexpr float nonlinear[16] = {-127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113};

// 32 weights of the IQ4 types: 16 bytes of nibbles.
void put_nonlinear(float scale, const uint8_t* in, float* out) {
  for (int i = 0; i < 16; ++i) {
    out[i] = scale * nonlinear[in[i] & 15];
    out[i + 16] = scale * nonlinear[in[i] >> 4];
  }
}

void iq4_nl_block(const uint8_t* in, float* out) { put_nonlinear(half_at(in), in + 2, out); }

// fp16 d, the high bit pairs and 4 bytes of low nibbles of eight 6-bit scales, 128 bytes of nibbles.
void iq4_xs_block(const uint8_t* in, float* out) {
  const float d = half_at(in);
  for (int j = 0; j < 8; ++j) {
    const int scale = nibble(in + 4, j) | (u16_at(in + 2) >> (2 * j) & 3) << 4;
    put_nonlinear(d * static_cast<float>(scale - 32), in + 8 + 16 * j, out + 32 * j);
  }
}

}  // namespace

const std::vector<BlockFormat>& code_book_formats() {
  static const std::vector<BlockFormat> formats = {
      {16, "IQ2_XXS", 256, 66, iq2_xxs_block}, {17, "IQ2_XS", 256, 74, iq2_xs_block},
      {18, "IQ3_XXS", 256, 98, iq3_xxs_block}, {19, "IQ1_S", 256, 50, iq1_s_block},
      {20, "IQ4_NL", 32, 18, iq4_nl_block},    {21, "IQ3_S", 256, 110, iq3_s_block},
      {22, "IQ2_S", 256, 82, iq2_s_block},     {23, "IQ4_XS", 256, 136, iq4_xs_block},
      {29, "IQ1_M", 256, 56, iq1_m_block}};
  return formats;
}

}  // namespace precis

// The block formats of ggml's quantised types: each function turns one block of bytes into its weights, with the
// operations and their order of the `gguf` Python package, so that the results are equal to the bit.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace precis {

struct BlockFormat {
  uint32_t type;  // ggml's number
  const char* name;
  int64_t weights;  // per block
  int64_t bytes;    // per block
  void (*dequantize)(const uint8_t* block, float* weights);
};

// Plain types, and those of one scale or of scales and minima: Q4_0 ... Q8_K, TQ1_0, TQ2_0, MXFP4, NVFP4.
const std::vector<BlockFormat>& scaled_formats();

// Types whose weights come from a code book: IQ1_S ... IQ4_XS.
const std::vector<BlockFormat>& code_book_formats();

// The fp16 number at `bytes`.
float half_at(const uint8_t* bytes);

inline uint16_t u16_at(const uint8_t* p) { return static_cast<uint16_t>(p[0] | p[1] << 8); }
inline uint32_t u32_at(const uint8_t* p) { return u16_at(p) | static_cast<uint32_t>(u16_at(p + 2)) << 16; }

}  // namespace precis

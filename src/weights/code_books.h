// The code books of ggml's IQ types: entries of 4 or 8 weights, chosen by an index of 8 to 11 bits.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

namespace precis {

template <size_t entries, size_t width>
using CodeBook = std::array<std::array<int8_t, width>, entries>;

extern const CodeBook<256, 8> iq2_xxs_book;
extern const CodeBook<512, 8> iq2_xs_book;
extern const CodeBook<1024, 8> iq2_s_book;
extern const CodeBook<256, 4> iq3_xxs_book;
extern const CodeBook<512, 4> iq3_s_book;
extern const CodeBook<2048, 8> iq1_book;  // of IQ1_S and IQ1_M

}  // namespace precis

#!/usr/bin/env python3
"""Writes what the `gguf` Python package (0.19.0) says about ggml's block formats.

    python scripts/make_gguf_blocks.py          (needs gguf and numpy; a second run writes the same files)

src/weights/code_books.cpp: the code books of the IQ types, which are part of the format.
tests/data/gguf_blocks.safetensors: three random blocks of each type (TYPE.bytes) and their weights (TYPE.weights).
"""
import json
import pathlib
import struct

import numpy as np
from gguf import GGML_QUANT_SIZES, GGMLQuantizationType, quants

ROOT = pathlib.Path(__file__).resolve().parent.parent
BOOKS = {"iq2_xxs": quants.IQ2_XXS, "iq2_xs": quants.IQ2_XS, "iq2_s": quants.IQ2_S, "iq3_xxs": quants.IQ3_XXS, "iq3_s": quants.IQ3_S, "iq1": quants.IQ1_S}
HEAD = """// Written by scripts/make_gguf_blocks.py: the code books of ggml's IQ types.
#include "code_books.h"

namespace precis {
namespace {

constexpr unsigned digit(char c) { return static_cast<unsigned>(c <= '9' ? c - '0' : c - 'a' + 10); }

// A book from hexadecimal digits: of each weight, its place in `values`, `bits` wide, lowest bits of a byte first.
template <size_t entries, size_t width>
constexpr CodeBook<entries, width> book(const char* hex, const int8_t* values, unsigned bits) {
  CodeBook<entries, width> out{};
  for (size_t i = 0; i < entries * width; ++i) {
    const size_t byte = i * bits / 8;
    const unsigned packed = digit(hex[2 * byte]) << 4 | digit(hex[2 * byte + 1]);
    out[i / width][i % width] = values[packed >> (i * bits % 8) & ((1u << bits) - 1)];
  }
  return out;
}

"""


def write_books(path):
    text = HEAD
    for name, cls in BOOKS.items():
        cls.init_grid()
        entries, width = cls.grid_shape
        places = np.searchsorted(np.array(cls.grid_map), cls.grid.reshape(-1)).astype(np.uint8)
        bits = 2 if len(cls.grid_map) <= 4 else 4
        per_byte = 8 // bits
        packed = sum(places[i::per_byte] << (bits * i) for i in range(per_byte)).astype(np.uint8).tobytes().hex()
        lines = "\n".join(f'    "{packed[i:i + 112]}"' for i in range(0, len(packed), 112))
        text += f"constexpr int8_t {name}_values[] = {{{', '.join(str(int(v)) for v in cls.grid_map)}}};\n"
        text += f"constexpr const char* {name}_hex =\n{lines};\n\n"
    text += "}  // namespace\n\n"
    for name, cls in BOOKS.items():
        entries, width = cls.grid_shape
        bits = 2 if len(cls.grid_map) <= 4 else 4
        text += f"constinit const CodeBook<{entries}, {width}> {name}_book = book<{entries}, {width}>({name}_hex, {name}_values, {bits});\n"
    path.write_text(text + "\n}  // namespace precis\n")


def blocks(kind, rng):
    """Three blocks of random bytes whose weights are finite, with those weights."""
    size, width = GGML_QUANT_SIZES[kind]
    while True:
        raw = rng.integers(0, 256, (3, width), dtype=np.uint8)
        if kind == GGMLQuantizationType.Q8_K:
            raw[:, :4] = rng.standard_normal((3, 1)).astype("<f4").view(np.uint8)
            weights = raw[:, :4].copy().view("<f4") * raw[:, 4:260].view(np.int8).astype(np.float32)
        elif kind == GGMLQuantizationType.F64:
            raw = rng.standard_normal((3, 1)).astype("<f8").view(np.uint8)
            weights = raw.view("<f8").astype(np.float32)
        else:
            with np.errstate(all="ignore"):
                weights = quants.dequantize(raw, kind).astype(np.float32)
        if np.isfinite(weights).all():
            return raw, weights


def write_safetensors(path, arrays):
    header, data = {}, b""
    for name, a in sorted(arrays.items(), key=lambda item: (-item[1].itemsize, item[0])):
        blob = np.ascontiguousarray(a).tobytes()
        header[name] = {"dtype": {"float32": "F32", "uint8": "U8"}[a.dtype.name], "shape": list(a.shape), "data_offsets": [len(data), len(data) + len(blob)]}
        data += blob
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    path.write_bytes(struct.pack("<Q", len(text)) + text + data)


def main():
    write_books(ROOT / "src" / "weights" / "code_books.cpp")
    rng, arrays = np.random.default_rng(1), {}
    known = set(quants._type_traits) | {GGMLQuantizationType[k] for k in ("F32", "F16", "F64", "Q8_K")}
    for kind in sorted(known):
        arrays[f"{kind.name}.bytes"], arrays[f"{kind.name}.weights"] = blocks(kind, rng)
    write_safetensors(ROOT / "tests" / "data" / "gguf_blocks.safetensors", arrays)


main()

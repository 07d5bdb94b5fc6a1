#!/usr/bin/env python3
"""Draws the encoder masks of all presets and methods, as the program prints them.

  scripts/plot_masks.py [PRECIS] [FOLDER]     (defaults: build/release/bin/precis, docs/figures)
"""

import json
import pathlib
import subprocess
import sys

from svg_figure import document, text

CELL = {"p": "prefix-cell", "t": "text-cell", "a": "memory-cell", "m": "memory-cell"}
SIZE, GAP, ACROSS = 10, 26, 4
FIGURES = {
    "masks-memory-tokens": (
        "Encoder masks of PIC's presets and of ICAE: 12 tokens at ratio 4, one BOS row and three memory rows",
        [(name, "pic", [f"compressor.mask.preset={name}", "compressor.positions=chunk_end"]) for name in
         ("pic", "pic-strict", "pic-local", "pic-recurrent", "pic-triangular", "pic-block")] + [("icae", "icae", [])]),
    "masks-other-methods": (
        "Encoder masks of SAC with its three kinds of attention, and of Activation Beacon: 12 tokens at ratio 4",
        [(f"sac, {kind}", "sac", [f"compressor.sac.attention={kind}"]) for kind in ("full", "anchors", "causal")]
        + [("beacon", "beacon", [])]),
}


def mask(precis, method, settings):
    command = [precis, "mask", f"compressor.method={method}", "compressor.ratio=4", *settings, "--length", "12", "--json"]
    found = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    if method == "sac":  # anchors, rows of the text, are the memory: floor((r - 1) / 2) + t r
        ratio = found["ratio"]
        found["rows"] = "".join("a" if i % ratio == (ratio - 1) // 2 else "t" for i in range(len(found["rows"])))
    return found


def panel(x, y, title, found):
    squares = {}
    for i, row in enumerate(found["mask"]):
        for j, sees in enumerate(row):
            kind = CELL[found["rows"][j]] if sees == "1" else "none-cell"
            squares.setdefault(kind, []).append(f"M{x + j * SIZE} {y + 20 + i * SIZE}h{SIZE - 1}v{SIZE - 1}h{1 - SIZE}z")
        if found["rows"][i] in "ma":  # rows that become memory are marked at the edge
            squares.setdefault("memory-cell", []).append(f"M{x - 5} {y + 20 + i * SIZE}h3v{SIZE - 1}h-3z")
    return [text(x, y + 12, title, "bold")] + [f'<path class="{kind}" d="{"".join(d)}"/>' for kind, d in squares.items()]


def main():
    precis = sys.argv[1] if len(sys.argv) > 1 else "build/release/bin/precis"
    folder = pathlib.Path(sys.argv[2] if len(sys.argv) > 2 else "docs/figures")
    for name, (label, panels) in FIGURES.items():
        found = [(title, mask(precis, method, settings)) for title, method, settings in panels]
        width = max(len(m["rows"]) for _, m in found) * SIZE + GAP
        height = max(len(m["rows"]) for _, m in found) * SIZE + 20 + GAP
        body = []
        for k, (title, m) in enumerate(found):
            body += panel(10 + k % ACROSS * width, 4 + k // ACROSS * height, title, m)
        rows = (len(found) + ACROSS - 1) // ACROSS
        bottom = 4 + rows * height
        x = 10
        for kind, words in (("prefix-cell", "BOS"), ("text-cell", "text"), ("memory-cell", "memory")):
            body += [f'<rect class="{kind}" x="{x}" y="{bottom - 9}" width="{SIZE}" height="{SIZE}"/>', text(x + 15, bottom, words, "small")]
            x += 70
        body.append(text(x, bottom, "row: query, column: key; a bar marks the rows that become memory", "small"))
        path = folder / f"{name}.svg"
        path.write_text(document(10 + ACROSS * width, bottom + 12, label, body), "utf-8")
        print(path)


if __name__ == "__main__":
    main()

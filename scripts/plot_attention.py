"""Draws heat maps of the memory rows' attention, one per layer, from `precis inspect RUN --attention TEXT --json`.

    precis inspect RUN --attention TEXT --json > after.json
    python scripts/plot_attention.py after.json --out attention.svg
"""

import argparse
import json

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("layers", help="file with the JSON line from precis inspect")
    parser.add_argument("--out", default="attention.svg", help="image to write (.svg or .png)")
    args = parser.parse_args()
    with open(args.layers) as file:
        layers = json.load(file)
    rows = len(layers[0]["rows"])
    figure, axes = plt.subplots(len(layers), 1, figsize=(8, 0.6 + len(layers) * max(0.8, 0.08 * rows)), squeeze=False)
    for index, (layer, axis) in enumerate(zip(layers, axes[:, 0])):
        axis.imshow(layer["rows"], aspect="auto", cmap="viridis", vmin=0)
        axis.set_ylabel(f"layer {index}\nmemory row")
        axis.set_title(
            f"own chunk {layer['own_chunk']:.0f} %, other text {layer['other_text']:.0f} %, prefix "
            f"{layer['prefix']:.0f} %, itself {layer['itself']:.0f} %, other memory {layer['other_memory']:.0f} %",
            fontsize=8,
        )
    axes[-1, 0].set_xlabel("row attended to: prefix, text, memory")
    figure.tight_layout()
    figure.savefig(args.out)


if __name__ == "__main__":
    main()

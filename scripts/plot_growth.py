#!/usr/bin/env python3
"""Plots runs/bench/growth.jsonl (scripts/bench_growth.sh): seconds and memory of compressing against text length.

  scripts/plot_growth.py runs/bench/growth.jsonl docs/growth.svg
"""
import json
import sys

import matplotlib

matplotlib.use("svg")
import matplotlib.pyplot as plt  # noqa: E402

COLORS = ["#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9"]  # Okabe and Ito
INK = "#7a7f87"  # readable on light and dark backgrounds

if len(sys.argv) != 3:
    sys.exit(__doc__)
source, target = sys.argv[1:]
with open(source, encoding="utf-8") as lines:
    rows = [row for row in map(json.loads, lines) if row["job"] == "compress" and "error" not in row]
lengths = sorted({row["context"] for row in rows})
colors = ("text.color", "axes.labelcolor", "xtick.color", "ytick.color", "axes.edgecolor")
plt.rcParams.update({"axes.prop_cycle": plt.cycler(color=COLORS), "axes.grid": True, "grid.alpha": 0.3, "font.size": 11,
                     "axes.spines.top": False, "axes.spines.right": False, "legend.frameon": False,
                     "svg.hashsalt": "precis", "svg.fonttype": "none", **dict.fromkeys(colors, INK)})
figure, panels = plt.subplots(1, 2, figsize=(10, 4))
for panel, field, label in zip(panels, ("median_s", "peak_rss_mb"), ("seconds", "peak resident memory, MB")):
    for method in sorted({row["method"] for row in rows}):
        own = sorted((row["context"], row[field]) for row in rows if row["method"] == method)
        panel.plot(*zip(*own), marker="o", markersize=4, label=method)
    panel.set(xscale="log", xlabel="text tokens", ylabel=label)
    panel.set_xticks(lengths, [f"{n:,}" for n in lengths])
    panel.minorticks_off()
panels[0].set(yscale="log")
first = min(row["median_s"] for row in rows if row["context"] == lengths[0])
panels[0].plot(lengths, [first * n / lengths[0] for n in lengths], color=INK, linestyle=":", label="linear")
panels[1].set(ylim=(0, None))
figure.legend(*panels[0].get_legend_handles_labels(), loc="lower center", ncols=7)
figure.tight_layout(rect=(0, 0.08, 1, 1))
figure.savefig(target, transparent=True, metadata={"Date": None})

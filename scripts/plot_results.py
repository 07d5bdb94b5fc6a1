#!/usr/bin/env python3
"""Draws the figures of docs/results-figures.md from the committed results in docs/results.

  scripts/plot_results.py [FOLDER]     (default: docs/figures)
"""

import json
import pathlib
import statistics
import sys

from svg_figure import document, legend, line_chart

ROOT = pathlib.Path(__file__).resolve().parent.parent
RESULTS = ROOT / "docs" / "results"


def lines_of(sweep, method, ratio=None):
    """A method's result lines, by ratio and seed."""
    with open(RESULTS / "sweeps" / f"{sweep}.jsonl", encoding="utf-8") as file:
        rows = [row for row in map(json.loads, file) if row["method"] == method and ratio in (None, row["ratio"])]
    if not rows:
        sys.exit(f"plot_results: no lines of {method} in {sweep}.jsonl")
    return rows


def over_seeds(values):
    """Mean, lowest and highest of the seeds."""
    return statistics.mean(values), min(values), max(values)


def quality(sweep, method):
    """Exact match against ratio: mean, lowest and highest over seeds."""
    by_ratio = {}
    for row in lines_of(sweep, method):
        by_ratio.setdefault(row["ratio"], []).append(row["row"]["em_percent"])
    return [(ratio, *over_seeds(values)) for ratio, values in sorted(by_ratio.items())]


def curve(sweep, method, ratio):
    """Exact match of the first 100 questions against training steps: mean, lowest and highest over seeds."""
    by_step = {}
    for row in lines_of(sweep, method, ratio):
        for point in row["row"]["learning_curve"]:
            by_step.setdefault(point["step"], []).append(point["em_percent"])
    return [(step, *over_seeds(values)) for step, values in sorted(by_step.items())]


def series(name, kind, points, dashed=False):
    return {"name": name, "class": kind, "points": points, "dashed": dashed}


def two_panels(label, left, right, names):
    width = 680
    body = line_chart(0, **left) + line_chart(width / 2, **right) + legend(names, 252, width)
    return document(width, 264, label, body)


def quality_figure():
    x = {"x_label": "compression ratio", "y_label": "exact match, %", "y_top": 100, "log_x": True}
    last = [(row["ratio"], row["row"]["em_percent"]) for row in lines_of("pic", "truncate")]
    left = [series("PIC", "c0", [(4, *over_seeds([r["row"]["em_percent"] for r in lines_of("pic-local", "pic", 4)]))]),
            series("ICAE", "c1", quality("pic", "icae")),
            series("SAC", "c2", quality("comprexit", "sac")), series("500x", "c3", quality("comprexit", "500x")),
            series("ComprExIT", "c4", quality("comprexit-parts", "comprexit-all")),
            series("text cut to the same length", "c5", sorted(last), dashed=True)]
    left[0]["points"] += [(r["ratio"], r["row"]["em_percent"]) + (r["row"]["em_percent"],) * 2
                          for r in sorted(lines_of("pic-local", "pic"), key=lambda r: r["ratio"]) if r["ratio"] > 4]
    right = [series("PIC", "c0", quality("pic", "pic-kv-chunk-end")), series("ICAE", "c1", quality("pic", "icae-kv")),
             series("text cut to the same length", "c5", sorted(last), dashed=True)]
    return two_panels("Exact match against the compression ratio, one panel for the methods, one for keys and values",
                      {"series": left, "title": "methods in their default form", "x_ticks": [4, 16, 64], **x},
                      {"series": right, "title": "PIC and its baseline, keys and values", "x_ticks": [4, 16, 64], **x}, left)


def curves_figure():
    x = {"x_label": "training steps", "y_label": "exact match, %", "y_top": 100, "x_ticks": [0, 500, 1000, 1500, 2000]}
    left = [series("PIC", "c0", curve("pic-local", "pic", 4)), series("ICAE", "c1", curve("pic", "icae", 4)),
            series("SAC", "c2", curve("comprexit", "sac", 4)), series("500x", "c3", curve("comprexit", "500x", 4)),
            series("ComprExIT", "c4", curve("comprexit-parts", "comprexit-all", 4))]
    right = [series("PIC", "c0", curve("pic-curriculum-warm", "pic", 4)),
             series("ICAE", "c1", curve("pic-curriculum-warm", "icae", 4))]
    return two_panels("Exact match against training steps at 4x, single passages and a curriculum over length",
                      {"series": left, "title": "single passages, 4x", **x},
                      {"series": right, "title": "curriculum, four passages, 4x", **x,
                       "x_ticks": [0, 500, 1000, 1500], "y_top": 50}, left)


def cost_figure():
    with open(RESULTS / "squad.json", encoding="utf-8") as file:
        rows = {row["name"]: row["cost"] for row in json.load(file)["rows"]}

    def ask(name):
        cost = rows[name]
        return (cost["prefill_milliseconds_per_question"]["median"]
                + cost["decode_milliseconds_per_token"]["median"] * cost["generated_tokens_per_question"]) / 1000

    def compress(name):
        return rows[name]["compress_milliseconds_per_context"]["median"] / 1000

    def seconds(name):
        return [(n, compress(name) + n * ask(name)) for n in range(11)]

    left = [series("PIC", "c0", seconds("pic-4")), series("SAC", "c2", seconds("sac-4")),
            series("full text", "c5", seconds("full"), dashed=True)]
    right = [series(name, kind, [(n, n * rows[row]["bytes_per_source_token"] / 2**20) for n in range(0, 8193, 1024)], dashed)
             for name, kind, row, dashed in (("PIC", "c0", "pic-4", False), ("SAC", "c2", "sac-4", False),
                                             ("full text", "c5", "full", True))]
    return two_panels("Seconds against questions to one text, and megabytes of cache against tokens of text, at 4x",
                      {"series": left, "title": "one text, many questions", "x_label": "questions to the same text",
                       "y_label": "seconds", "x_ticks": [0, 2, 4, 6, 8, 10], "y_top": 2},
                      {"series": right, "title": "what the decoder holds", "x_label": "tokens of text",
                       "y_label": "MB", "x_ticks": [0, 2048, 4096, 6144, 8192], "y_top": 200}, left)


def main():
    folder = pathlib.Path(sys.argv[1] if len(sys.argv) > 1 else ROOT / "docs" / "figures")
    for name, figure in (("quality", quality_figure), ("learning-curves", curves_figure), ("cost", cost_figure)):
        path = folder / f"{name}.svg"
        path.write_text(figure(), "utf-8")
        print(path)


if __name__ == "__main__":
    main()

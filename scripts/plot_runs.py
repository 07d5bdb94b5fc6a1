#!/usr/bin/env python3
"""Plots one or several training runs: a self-contained page with loss, scores, gradient norm, learning rate and speed.

  scripts/plot_runs.py RUN... [--out FILE.html] [--by step|train_seconds|train_tokens]

Reads metrics.jsonl alone, also of runs that are still going. Every figure has a light and a dark version and a table of
its numbers.
"""

import argparse
import html
import json
import pathlib
import sys

from plot_sweep import COLORS, STYLE, axes, draw, legend_below, write

LABELS = {"loss": "loss, nats per token", "gradient_norm": "gradient norm", "learning_rate": "learning rate",
          "tokens_per_second": "tokens/s", "em_percent": "exact match, %", "f1_percent": "F1, %"}
STEP_KEYS = ["loss", "gradient_norm", "learning_rate", "tokens_per_second"]
NOT_SCORES = {"event", "step", "train_seconds", "train_tokens", "questions", "contexts", "seconds"}


def read_metrics(run):
    path = run / "metrics.jsonl"
    if not path.exists():
        sys.exit(f"plot_runs: {path}: no such file; expected a run folder of precis train")
    lines = []
    for number, text in enumerate(path.read_text(encoding="utf-8").split("\n"), 1):
        try:
            lines.append(json.loads(text)) if text.strip() else None
        except json.JSONDecodeError:
            print(f"plot_runs: {path}:{number}: left out, an incomplete line", file=sys.stderr)
    return lines


def curve(lines, key, by):
    """Points of a metric. Step lines have no train_tokens: they are summed from the speed."""
    points, tokens, before = [], 0.0, 0.0
    for line in lines:
        if line["event"] == "step":
            tokens += line["tokens_per_second"] * (line["train_seconds"] - before)
            before = line["train_seconds"]
        if isinstance(line.get(key), (int, float)):
            points.append((line.get(by, tokens), line[key]))
    return points


def figure_of(runs, key, by):
    curves = {name: curve(lines, key, by) for name, lines in runs.items()}
    curves = {name: points for name, points in curves.items() if points}
    if not curves:
        return None

    def build(_):
        figure, ax = axes(by.replace("_", " "), LABELS.get(key, key.replace("_", " ")))
        for i, (name, points) in enumerate(curves.items()):
            marker = "o" if len(points) < 40 else None
            ax.plot(*zip(*points), color=COLORS[i % len(COLORS)], marker=marker, markersize=4, label=name)
        if key == "gradient_norm":
            ax.set_yscale("log")
        legend_below(ax)
        return figure

    rows = [(name, f"{x:g}", f"{y:.6g}") for name, points in curves.items() for x, y in points]
    return draw(build, LABELS.get(key, key), ["run", by, key], rows)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", nargs="+", type=pathlib.Path, metavar="RUN")
    parser.add_argument("--out", type=pathlib.Path, default=pathlib.Path("runs.html"))
    parser.add_argument("--by", choices=["step", "train_seconds", "train_tokens"], default="step")
    options = parser.parse_args()
    folders = [run.resolve() for run in options.runs]
    short = [folder.name for folder in folders]
    names = short if len(set(short)) == len(short) else [f"{f.parent.name}/{f.name}" for f in folders]
    runs = {name: read_metrics(folder) for name, folder in zip(names, folders)}
    scores = sorted({key for lines in runs.values() for line in lines if line["event"] == "eval"
                     for key, value in line.items() if isinstance(value, (int, float)) and key not in NOT_SCORES})
    body = ["<h1>Training runs</h1>", f'<p class="note">{html.escape(", ".join(runs))}</p>']
    for key in STEP_KEYS[:1] + scores + STEP_KEYS[1:]:
        figure = figure_of(runs, key, options.by)
        if figure:
            body += [f"<h2>{html.escape(LABELS.get(key, key))}</h2>", figure]
    write(options.out, '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
          '<meta name="viewport" content="width=device-width, initial-scale=1"><title>precis runs</title>'
          f"<style>{STYLE}</style></head><body>\n" + "\n".join(body) + "\n</body></html>\n")


if __name__ == "__main__":
    main()

#!/usr/bin/env python3
"""Plots a sweep: a self-contained report.html, from results.jsonl alone.

  scripts/plot_sweep.py SWEEP_FOLDER [--methods NAMES] [--baseline METHOD] [--out FILE.html | FILE.svg]

Plots quality against ratio, quality against training time with time-to-target marks, cost against ratio, and the
break-even number of questions. Every figure has a light and a dark version and a table of its numbers. A FILE.svg
contains only quality against ratio, in colours for light and dark backgrounds.
"""

import argparse
import collections
import html
import io
import json
import math
import pathlib
import sys

import matplotlib

matplotlib.use("svg")
import matplotlib.pyplot as plt  # noqa: E402
import numpy as np  # noqa: E402

COLORS = ["#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#8A6FD1", "#7F7F7F"]  # Okabe and Ito
EITHER = {"ink": "#7a7f87", "grid": "#7a7f8755"}
THEMES = {"light": {"ink": "#222222", "grid": "#dddddd"}, "dark": {"ink": "#e6e6e6", "grid": "#444444"}}
MARKERS = ["o", "s", "^", "D"]  # the next one when the colours repeat
MEASURES = {"em_percent": "exact match, %", "f1_percent": "F1, %"}
LONG_TABLE = 24  # rows; longer tables are collapsed
SAMPLES = 1000

STYLE = """
:root { color-scheme: light dark; --ink: #222; --paper: #fff; --line: #ddd; --soft: #666 }
@media (prefers-color-scheme: dark) { :root { --ink: #e6e6e6; --paper: #16181c; --line: #383c44; --soft: #a0a4ac } }
body { font: 16px/1.5 system-ui, sans-serif; color: var(--ink); background: var(--paper); max-width: 60rem;
       margin: 0 auto; padding: 1rem }
h1 { font-size: 1.5rem } h2 { font-size: 1.2rem; margin-top: 2.5rem }
p.note, figcaption { color: var(--soft); font-size: .9rem }
figure { margin: 1rem 0 } figure svg { width: 100%; height: auto }
figure .dark { display: none }
@media (prefers-color-scheme: dark) { figure .light { display: none } figure .dark { display: block } }
.scroll { overflow-x: auto }
table { border-collapse: collapse; font-size: .85rem; font-variant-numeric: tabular-nums }
th, td { padding: .25rem .6rem; border-bottom: 1px solid var(--line); text-align: right; white-space: nowrap }
th:first-child, td:first-child { text-align: left }
summary { cursor: pointer; font-size: .9rem }
code { font-size: .85rem; overflow-wrap: anywhere }
"""


def read_results(folder):
    """The lines of results.jsonl. An incomplete last line is ignored, any other malformed line is an error."""
    path = folder / "results.jsonl"
    if not path.exists():
        sys.exit(f"plot_sweep: {path}: no such file; run precis sweep first")
    lines = path.read_text(encoding="utf-8").split("\n")
    incomplete = lines.pop()
    if incomplete.strip():
        print(f"plot_sweep: {path}: the last line is incomplete and is ignored", file=sys.stderr)
    results = []
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            results.append(json.loads(line))
        except json.JSONDecodeError as e:
            sys.exit(f"plot_sweep: {path} line {number}: not JSON: {e}")
    if not results:
        sys.exit(f"plot_sweep: {path}: no finished cell")
    return results


def measure_value(name, sums):
    return math.exp(-sums[0] / sums[1]) if name == "perplexity" else 100 * sums[0] / sums[1]


def pooled(lines, task):
    """Value and 95 % interval of a task's main measure over all seeds; contexts are drawn together."""
    sums = collections.defaultdict(lambda: np.zeros(2))
    for line in lines:
        items = line["items"][task]
        for group, values in zip(items["groups"], items["sums"]):
            sums[group] += np.array(values)
    groups = np.array(list(sums.values()))
    name = lines[0]["items"][task]["measure"]
    random = np.random.default_rng(1)
    draws = [measure_value(name, groups[random.integers(0, len(groups), len(groups))].sum(0)) for _ in range(SAMPLES)]
    return measure_value(name, groups.sum(0)), np.percentile(draws, 2.5), np.percentile(draws, 97.5)


def styles(rows):
    """Colour and marker of each method, the same in all figures; references come last."""
    is_reference = {method: lines[0]["reference"] for (method, ratio), lines in rows.items() if ratio > 0}
    return {method: {"color": COLORS[i % len(COLORS)], "marker": MARKERS[i // len(COLORS) % len(MARKERS)]}
            for i, method in enumerate(sorted(is_reference, key=lambda m: (is_reference[m], m)))}


def svg_of(build, colors):
    settings = {"axes.grid": True, "axes.axisbelow": True, "grid.color": colors["grid"], "axes.spines.top": False,
                "axes.spines.right": False, "font.size": 12, "svg.fonttype": "none", "legend.frameon": False,
                "svg.hashsalt": "precis"}
    for key in ("text.color", "axes.labelcolor", "xtick.color", "ytick.color", "axes.edgecolor"):
        settings[key] = colors["ink"]
    with plt.rc_context(settings):
        figure = build(colors["ink"])
        out = io.StringIO()
        figure.savefig(out, format="svg", transparent=True, bbox_inches="tight", metadata={"Date": None})
        plt.close(figure)
    return out.getvalue()


def draw(build, caption, head, rows):
    """A figure in both themes, with a table of its numbers."""
    parts = ["<figure>"]
    for theme, colors in THEMES.items():
        svg = svg_of(build, colors)
        parts.append(f'<div class="{theme}">{svg[svg.index("<svg"):]}</div>')
    parts.append(f"<figcaption>{html.escape(caption)}</figcaption></figure>")
    cells = lambda tag, values: "".join(f"<{tag}>{html.escape(str(v))}</{tag}>" for v in values)  # noqa: E731
    parts.append(f"<details{' open' if len(rows) <= LONG_TABLE else ''}><summary>Numbers</summary>")
    parts.append(f'<div class="scroll"><table><tr>{cells("th", head)}</tr>')
    parts += [f"<tr>{cells('td', row)}</tr>" for row in rows]
    parts.append("</table></div></details>")
    return "\n".join(parts)


def axes(x_label, y_label):
    figure, ax = plt.subplots(figsize=(7, 4.2))
    ax.set_xlabel(x_label)
    ax.set_ylabel(y_label)
    return figure, ax


def legend_below(ax):
    ax.legend(loc="upper center", bbox_to_anchor=(0.5, -0.16), ncols=4, fontsize=10)


def ratio_axis(ax, ratios):
    ax.set_xscale("log", base=2)
    ax.set_xticks(ratios, [f"{r}x" for r in ratios])
    ax.minorticks_off()


def quality_figure(rows, task, style):
    """The arguments of `draw`."""
    points = {key: pooled(lines, task) for key, lines in rows.items() if task in lines[0]["items"]}
    methods = list(dict.fromkeys(m for m, r in points if r > 0))
    ratios = sorted({r for _, r in points if r > 0}) or [1]
    measure = next(iter(rows.values()))[0]["items"].get(task, {}).get("measure", task)
    name = MEASURES.get(measure, measure.replace("_percent", ", %").replace("_", " "))

    def build(ink):
        figure, ax = axes("compression ratio", name)
        for method in methods:
            own = sorted((r, *points[m, r]) for m, r in points if m == method)
            x, y, low, high = zip(*own)
            is_reference = rows[method, x[0]][0]["reference"]
            ax.plot(x, y, linestyle="--" if is_reference else "-", label=method, **style[method])
            ax.fill_between(x, low, high, alpha=0.15, color=style[method]["color"], linewidth=0)
        for method, dashes in (("full", "-."), ("none", ":")):
            if (method, 0) in points:
                ax.axhline(points[method, 0][0], color=ink, linestyle=dashes, linewidth=1, label=method)
        ratio_axis(ax, ratios)
        legend_below(ax)
        return figure

    table = [(m, f"{r}x" if r else "", len(rows[m, r]), *(f"{v:.1f}" for v in points[m, r])) for m, r in points]
    caption = (f"{name} against ratio; bands and brackets are 95 % bootstrap intervals over contexts, seeds pooled; "
               "dashed: references without training.")
    return build, caption, ["method", "ratio", "seeds", name, "low", "high"], table


def mean_curve(lines):
    by_step = collections.defaultdict(list)
    for line in lines:
        for p in line["row"]["learning_curve"]:
            by_step[p["step"]].append((p["train_seconds"], p["em_percent"]))
    return [(step, *np.mean(v, axis=0)) for step, v in sorted(by_step.items())]


def curve_figure(rows, ratio, baseline, style):
    curves = {m: mean_curve(lines) for (m, r), lines in rows.items() if r == ratio}
    curves = {m: c for m, c in curves.items() if c}
    if not curves:
        return ""
    best = max((p[2] for p in curves[baseline]), default=None) if baseline in curves else None
    best = best or None  # a baseline score of 0 is not a target

    def build(ink):
        figure, ax = axes("seconds of training (without evaluations)", "exact match %")
        for method, curve in curves.items():
            _, seconds, em = zip(*curve)
            ax.plot(seconds, em, markersize=4, label=method, **style[method])
            reached = next((p for p in curve if best is not None and p[2] >= best), None)
            if reached:
                ax.axvline(reached[1], color=style[method]["color"], linestyle=":", linewidth=1)
        if best is not None:
            ax.axhline(best, color=ink, linestyle="--", linewidth=1, label=f"best of {baseline}")
        legend_below(ax)
        return figure

    table = [(m, p[0], f"{p[1]:.0f}", f"{p[2]:.1f}") for m, c in curves.items() for p in c]
    return draw(build, f"Exact match in evaluations during training at {ratio}x, mean over seeds"
                + (f"; dotted: when each first reaches the best of {baseline}." if best is not None else "."),
                ["method", "step", "seconds", "EM %"], table)


def median(line, key):
    value = line["row"]["cost"][key]
    return value["median"] if value else 0.0


COSTS = [("compress_milliseconds_per_context", "compress, ms / context"),
         ("prefill_milliseconds_per_question", "prefill, ms / question"),
         ("decode_milliseconds_per_token", "decode, ms / token")]


def cost_figure(rows, style):
    rows = {key: lines for key, lines in rows.items() if "cost" in lines[0]["row"]}
    if not rows:
        return ""
    values = {key: [float(np.mean([median(line, c) for line in lines])) for c, _ in COSTS] for key, lines in rows.items()}
    methods = list(dict.fromkeys(m for m, r in rows if r > 0))
    ratios = sorted({r for _, r in rows if r > 0}) or [1]

    def build(ink):
        figure, panels = plt.subplots(1, 3, figsize=(10, 4.4), layout="constrained")
        for i, (ax, (_, label)) in enumerate(zip(panels, COSTS)):
            for method in methods:
                own = sorted((r, values[m, r][i]) for m, r in values if m == method)
                ax.plot(*zip(*own), label=method, **style[method])
            if ("full", 0) in values and i > 0:
                ax.axhline(values["full", 0][i], color=ink, linestyle="-.", linewidth=1, label="full")
            ax.set_title(label, fontsize=11)
            ax.set_ylim(bottom=0)
            ratio_axis(ax, ratios)
        figure.legend(*panels[-1].get_legend_handles_labels(), loc="outside lower center", ncols=5, fontsize=10)
        return figure

    table = [(m, f"{r}x" if r else "", *(f"{v:.2f}" for v in values[m, r]),
              f"{rows[m, r][0]['row']['cost']['bytes_per_source_token']:.0f}", f"{rows[m, r][0]['row']['peak_mb']:.0f}")
             for m, r in values]
    return draw(build, "Cost: medians over batches of the evaluation, mean over seeds.",
                ["method", "ratio", *(label for _, label in COSTS), "bytes / source token", "peak MB"], table)


def break_even(line, full):
    saved = (median(full, COSTS[1][0]) - median(line, COSTS[1][0])
             + (median(full, COSTS[2][0]) - median(line, COSTS[2][0])) * line["row"]["cost"]["generated_tokens_per_question"])
    return math.ceil(median(line, COSTS[0][0]) / saved) if saved > 0 else None


def break_even_figure(rows):
    full = rows.get(("full", 0))
    own = {key: lines for key, lines in rows.items() if not lines[0]["reference"] and "cost" in lines[0]["row"]}
    if not full or "cost" not in full[0]["row"] or not own:
        return ""
    points = {key: break_even(lines[0], full[0]) for key, lines in own.items()}
    names = [f"{m} {r}x" for m, r in points]

    def build(ink):
        figure, ax = axes("questions per context", "")
        figure.set_figheight(1 + 0.3 * len(names))
        ax.barh(names, [v or 0 for v in points.values()], color=COLORS[0])
        for i, v in enumerate(points.values()):
            ax.annotate(str(v) if v else "never", (v or 0, i), xytext=(4, 0), textcoords="offset points", va="center",
                        color=ink)
        ax.invert_yaxis()
        return figure

    return draw(build, "Break-even: the number of questions per context after which compressing costs less than reading "
                "the context in full for each question, on this machine.", ["method", "ratio", "questions"],
                [(m, f"{r}x", v if v else "never") for (m, r), v in points.items()])


def write(path, text):
    temporary = path.with_name(f".{path.name}.tmp")
    temporary.write_text(text, encoding="utf-8")
    temporary.replace(path)
    print(path)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=pathlib.Path)
    parser.add_argument("--baseline", default="icae", help="method whose best score is the target for time to target")
    parser.add_argument("--methods", help="methods to show, separated by commas; references are always shown")
    parser.add_argument("--out", type=pathlib.Path)
    options = parser.parse_args()
    results = read_results(options.folder)
    if options.methods:
        wanted = options.methods.split(",")
        unknown = set(wanted) - {line["method"] for line in results}
        if unknown:
            sys.exit(f"plot_sweep: no results of {', '.join(sorted(unknown))} in {options.folder}")
        results = [line for line in results if line["reference"] or line["method"] in wanted]
    out = options.out or options.folder / "report.html"
    environments = collections.Counter(json.dumps(line["environment"]) for line in results)
    body = [f"<h1>{html.escape(options.folder.resolve().name)}</h1>",
            f'<p class="note">{len(results)} rows. Made with <code>precis sweep</code> and <code>'
            f'{html.escape(" ".join(map(str, [pathlib.Path(sys.argv[0]).name, *sys.argv[1:]])))}</code>.<br>'
            + "<br>".join(f"{n} rows: <code>{html.escape(e)}</code>" for e, n in environments.items()) + "</p>"]
    for data in dict.fromkeys(line["data"] for line in results):
        rows = collections.defaultdict(list)
        for line in results:
            if line["data"] == data:
                own = rows[line["method"], line["ratio"]]
                if line["reference"]:  # no seeds: keep the newest
                    own.clear()
                own.append(line)
        rows = dict(sorted(rows.items()))
        suffix = f" on {data}" if data else ""
        style = styles(rows)
        tasks = sorted({task for lines in rows.values() for task in lines[0]["items"]})
        for task in tasks:
            figure = quality_figure(rows, task, style)
            if out.suffix == ".svg":
                return write(out, svg_of(figure[0], EITHER))
            body += [f"<h2>{html.escape(task)} against ratio{html.escape(suffix)}</h2>", draw(*figure)]
        for ratio in sorted({r for _, r in rows if r > 0}):
            figure = curve_figure(rows, ratio, options.baseline, style)
            if figure:
                body += [f"<h2>Learning at {ratio}x{html.escape(suffix)}</h2>", figure]
        for title, figure in (("Cost", cost_figure(rows, style)), ("Break-even", break_even_figure(rows))):
            if figure:
                body += [f"<h2>{title}{html.escape(suffix)}</h2>", figure]
    page = ('<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
            '<meta name="viewport" content="width=device-width, initial-scale=1"><title>precis sweep</title>'
            f"<style>{STYLE}</style></head><body>\n" + "\n".join(body) + "\n</body></html>\n")
    write(out, page)


if __name__ == "__main__":
    main()

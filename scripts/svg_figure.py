"""SVG figures in one style for light and dark backgrounds, with the standard library only."""

import html
import math

STYLE = """
text { font: 13px system-ui, sans-serif; fill: #333 } .small { font-size: 11px; fill: #666 } .bold { font-weight: 600 }
.axis { stroke: #777; fill: none } .grid { stroke: #7773; fill: none } .frame { stroke: #7778; fill: none }
.c0 { --c: #0072b2 } .c1 { --c: #d55e00 } .c2 { --c: #009e73 } .c3 { --c: #b6548f } .c4 { --c: #b8860b } .c5 { --c: #777 }
.line { stroke: var(--c); stroke-width: 2; fill: none } .dot { fill: var(--c) } .band { fill: var(--c); opacity: .15 }
.dashed { stroke-dasharray: 6 4 }
.text-cell { fill: #9db2cc } .memory-cell { fill: #2f6fdb } .prefix-cell { fill: #e0a43a } .none-cell { fill: #7771 }
@media (prefers-color-scheme: dark) {
  text { fill: #ddd } .small { fill: #aaa } .text-cell { fill: #5f7796 } .memory-cell { fill: #5b94f5 }
  .c0 { --c: #56b4e9 } .c1 { --c: #f0803c } .c2 { --c: #2fc79a } .c3 { --c: #dd8fbd } .c4 { --c: #e6b84a } .c5 { --c: #999 }
}"""


def number(value):
    return f"{value:.1f}".rstrip("0").rstrip(".")


def text(x, y, words, kind="", anchor="start"):
    return f'<text class="{kind}" x="{number(x)}" y="{number(y)}" text-anchor="{anchor}">{html.escape(words)}</text>'


def document(width, height, label, body):
    """A whole SVG file; `label` is what screen readers say."""
    return (f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {number(width)} {number(height)}" role="img" '
            f'aria-label="{html.escape(label)}">\n<style>{STYLE}\n</style>\n' + "\n".join(body) + "\n</svg>\n")


def nice_ticks(top):
    step = 10 ** math.floor(math.log10(top))
    step = next(s for s in (step / 5, step / 2, step, step * 2) if top / s <= 6)
    return [i * step for i in range(int(top / step + 1e-9) + 1)]


def line_chart(left, series, title, x_label, y_label, x_ticks, y_top, log_x=False, width=330, height=230):
    """One panel at x = left, y = 0. series: a list of {name, class, points: [(x, y) or (x, y, low, high)], dashed}."""
    x0, y0, x1, y1 = left + 46, height - 40, left + width - 20, 30
    scale = math.log2 if log_x else float
    low, high = scale(x_ticks[0]), scale(x_ticks[-1])
    pad = (high - low) * 0.04 if log_x else 0

    def at(x, y):
        return x0 + (scale(x) - low + pad) / (high - low + 2 * pad) * (x1 - x0), y0 - y / y_top * (y0 - y1)

    def path(points):
        return " ".join(f"{number(x)},{number(y)}" for x, y in points)

    body = [text((x0 + x1) / 2, 18, title, "bold", "middle")]
    for y in nice_ticks(y_top):
        _, py = at(x_ticks[0], y)
        body += [f'<path class="grid" d="M{x0} {number(py)}H{x1}"/>', text(x0 - 6, py + 4, f"{y:g}", "small", "end")]
    for x in x_ticks:
        px, _ = at(x, 0)
        body.append(text(px, y0 + 15, f"{x:g}x" if log_x else f"{x:g}", "small", "middle"))
    body += [f'<path class="axis" d="M{x0} {y0}H{x1}"/>', text((x0 + x1) / 2, y0 + 32, x_label, "small", "middle"),
             f'<text class="small" text-anchor="middle" transform="translate({left + 12} {(y0 + y1) / 2}) rotate(-90)">'
             f"{html.escape(y_label)}</text>"]
    for one in series:
        points = one["points"]
        if len(points[0]) == 4:
            edge = [at(x, high_y) for x, _, _, high_y in points] + [at(x, low_y) for x, _, low_y, _ in reversed(points)]
            body.append(f'<polygon class="band {one["class"]}" points="{path(edge)}"/>')
        dashed = " dashed" if one.get("dashed") else ""
        line = [at(p[0], p[1]) for p in points]
        body.append(f'<polyline class="line {one["class"]}{dashed}" points="{path(line)}"/>')
        if not one.get("dashed"):
            body += [f'<circle class="dot {one["class"]}" cx="{number(x)}" cy="{number(y)}" r="3"/>' for x, y in line]
    return body


def legend(series, y, width):
    """Names of the series in a centred row."""
    widths = [40 + 7.4 * len(one["name"]) for one in series]
    x, body = (width - sum(widths)) / 2, []
    for one, own in zip(series, widths):
        dashed = " dashed" if one.get("dashed") else ""
        body += [f'<path class="line {one["class"]}{dashed}" d="M{number(x)} {y - 4}h20"/>', text(x + 25, y, one["name"])]
        x += own
    return body

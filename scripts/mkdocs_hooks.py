"""What the site needs beyond Markdown as GitHub reads it: lists and tables directly below a paragraph, and formulas."""

import re

from latex2mathml.converter import convert

BLOCK = re.compile(r"([-*] |\d+\. |\|)")
MATH = re.compile(r'<(span|div) class="arithmatex">\\[(\[](.*?)\\[)\]]</\1>', re.S)
ENTITIES = {"&lt;": "<", "&gt;": ">", "&amp;": "&"}


def on_page_markdown(markdown, **_):
    lines, in_code = [], False
    for line in markdown.split("\n"):
        if line.startswith("```"):
            in_code = not in_code
        above = lines[-1] if lines else ""
        begins = BLOCK.match(line) and above.strip() and not above.startswith(("  ", "#", "|")) and not BLOCK.match(above)
        if begins and not in_code:
            lines.append("")
        lines.append(line)
    return "\n".join(lines)


def on_page_content(html, **_):
    """Formulas as MathML, which browsers show without scripts."""

    def formula(match):
        latex = re.sub("|".join(ENTITIES), lambda m: ENTITIES[m.group()], match.group(2))
        return convert(latex, display="block" if match.group(1) == "div" else "inline")

    return MATH.sub(formula, html)

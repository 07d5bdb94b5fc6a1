#!/usr/bin/env python3
"""Checks the documentation: links, anchors, images, named files, lengths, and the navigation in mkdocs.yml.

  scripts/check_docs.py [--words]

Needs Python's standard library only. --words prints the length of each page. Exit code 1 where something is wrong.
"""

import pathlib
import re
import sys
import unicodedata

ROOT = pathlib.Path(__file__).resolve().parent.parent
SKIPPED = {"build", "install", "models", "runs", "data"}  # folders of the root that git ignores, or that hold no pages
GENERATED = {"docs/cli.md", "docs/config.md"}
NOT_YET = {"examples/every_token.cpp"}  # named before they exist
PAGE_WORDS, README_WORDS = 1500, 700
NAMED = re.compile(r"(?<![\w/.$}-])((?:configs|scripts|docs|examples|assets|tests|include)/[\w./-]*)([*{$<]?)")
LINK = re.compile(r"(!?)\[((?:[^\[\]]|\[[^\]]*\])*)\]\(([^()\s]+(?:\([^()]*\)[^()\s]*)?)\)")


def pages():
    for path in sorted(ROOT.rglob("*.md")):
        parts = path.relative_to(ROOT).parts
        if parts[0] not in SKIPPED and not any(part.startswith(".") for part in parts):
            yield path


def without_code(text):
    """The text with fenced blocks and inline code blanked, so that line numbers stay."""
    text = re.sub(r"^```.*?^```", lambda m: "\n" * m.group().count("\n"), text, flags=re.M | re.S)
    return re.sub(r"`[^`\n]*`", "", text)


def anchors(text):
    """GitHub's anchors of a page's headings."""
    found, seen = set(), {}
    for line in re.sub(r"^```.*?^```", "", text, flags=re.M | re.S).split("\n"):
        heading = re.match(r"#{1,6} +(.*)", line)
        if not heading:
            continue
        title = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading.group(1)).replace("`", "").strip().lower()
        slug = "".join(c for c in title if c in " -_" or unicodedata.category(c)[0] in "LN").replace(" ", "-")
        count = seen.get(slug, 0)
        seen[slug] = count + 1
        found.add(slug if count == 0 else f"{slug}-{count}")
    return found


def line_of(text, position):
    return text.count("\n", 0, position) + 1


def check_links(path, text, texts, problems):
    name = path.relative_to(ROOT)
    plain = without_code(text)
    for match in LINK.finditer(plain):
        image, label, target = match.groups()
        where = f"{name}:{line_of(plain, match.start())}"
        if image and len(label) < 10:
            problems.append(f"{where}: the image {target} has no alt text")
        if re.match(r"[a-z]+:", target):
            continue
        file, _, anchor = target.partition("#")
        goal = (path.parent / file).resolve() if file else path
        if not goal.exists():
            problems.append(f"{where}: no such file: {target}")
        elif name.parts[0] == "docs" and (ROOT / "docs") not in goal.parents:
            problems.append(f"{where}: a page of the site links outside docs/: {target}")
        elif anchor and goal.suffix == ".md" and anchor not in anchors(texts.get(goal) or goal.read_text("utf-8")):
            problems.append(f"{where}: no such heading: {target}")


def check_named_files(path, text, problems):
    """Files of the project that a page names must exist; of a pattern such as docs/x-*.json, the folder. So must headers."""
    for header in re.findall(r"`(precis/[a-z_]+/[a-z_]+\.h)`", text):
        if not (ROOT / "include" / header).exists():
            problems.append(f"{path.relative_to(ROOT)}: no such header: {header}")
    for match in NAMED.finditer(text):
        named, pattern = match.group(1).rstrip("."), match.group(2)
        goal = ROOT / (named.rpartition("/")[0] if pattern or named.rpartition("/")[2].isupper() else named)
        if not goal.exists() and named not in NOT_YET:
            problems.append(f"{path.relative_to(ROOT)}:{line_of(text, match.start())}: no such file: {named}")


def check_cited_pages(problems):
    """Pages that sources and scripts cite."""
    for folder in ("src", "include", "scripts", "configs", "examples", "python"):
        for path in sorted((ROOT / folder).rglob("*")):
            if path.suffix not in {".h", ".cpp", ".py", ".sh", ".json", ".md", ".html"}:
                continue
            for cited in re.findall(r"\bdocs/[\w/-]+\.md\b", path.read_text("utf-8")):
                if not (ROOT / cited).exists():
                    problems.append(f"{path.relative_to(ROOT)}: no such page: {cited}")


def check_navigation(problems):
    config = (ROOT / "mkdocs.yml").read_text("utf-8")
    listed = re.findall(r"^\s+- (?:[^#\n]*: )?([\w/-]+\.md)\s*$", config[config.index("\nnav:"):], flags=re.M)
    there = {str(path.relative_to(ROOT / "docs")) for path in (ROOT / "docs").rglob("*.md")}
    problems += [f"mkdocs.yml: no such page: {page}" for page in listed if page not in there]
    problems += [f"mkdocs.yml: docs/{page} is not in the navigation" for page in sorted(there - set(listed))]
    problems += [f"mkdocs.yml: {page} is listed twice" for page in sorted({p for p in listed if listed.count(p) > 1})]


def main():
    texts = {path: path.read_text("utf-8") for path in pages()}
    problems = []
    for path, text in texts.items():
        name = str(path.relative_to(ROOT))
        check_links(path, text, texts, problems)
        if name != "CHANGELOG.md":
            check_named_files(path, text, problems)
        words = len(text.split())
        limit = README_WORDS if name == "README.md" else PAGE_WORDS if name.startswith("docs/") else None
        if "--words" in sys.argv:
            print(f"{words:6} {name}")
        if name in GENERATED:
            continue
        if limit and words > limit:
            problems.append(f"{name}: {words} words, at most {limit}")
        if name.startswith("docs/") and not text.rstrip().split("\n")[-1].startswith("Next: "):
            problems.append(f"{name}: the page does not end with 'Next: ' and where to go")
    check_cited_pages(problems)
    check_navigation(problems)
    for problem in problems:
        print(problem)
    if problems:
        sys.exit(1)
    print(f"{len(texts)} pages: links, anchors, images, named files, lengths and navigation are right")


if __name__ == "__main__":
    main()

"""Shows Doxygen the comments of a header: `// ...` above a declaration, behind it, and at the top of the file.

  scripts/doxygen_filter.py HEADER > FILTERED     (INPUT_FILTER in docs/Doxyfile; line numbers stay)
"""

import re
import sys

TRAILING = re.compile(r'^((?:[^"/]|"(?:[^"\\]|\\.)*"|/(?!/))*\S\s*)//(?!/) ?(.*)$')


def shown(comment):
    """`<name>` is text, not a tag."""
    return re.sub(r"<(?=[A-Za-z/])", r"\\<", comment)


def main():
    behind = None  # column of a comment behind code, which the next line may continue
    with open(sys.argv[1], encoding="utf-8") as file:
        for line in file.read().split("\n"):
            stripped = line.lstrip()
            column = len(line) - len(stripped)
            if stripped.startswith("// "):
                continues = behind is not None and column >= behind > 0
                print(" " * column + ("///< " if continues else "/// ") + shown(stripped[3:]))
                continue
            behind = None
            if stripped == "#pragma once":
                print("/// @file")
                continue
            trailing = TRAILING.match(line)
            opens = trailing and trailing.group(1).rstrip().endswith(("{", "}", ":")) and "(" not in trailing.group(1)
            if trailing and not opens and not trailing.group(1).startswith("#"):
                behind = len(trailing.group(1))
                print(f"{trailing.group(1)}///< {shown(trailing.group(2))}")
            else:
                print(line)


if __name__ == "__main__":
    main()

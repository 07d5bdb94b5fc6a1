#!/usr/bin/env bash
# Builds the documentation as a site in build/site, and the C++ reference in build/site/api where doxygen is installed.
#   scripts/docs.sh            installs what it needs into .venv-docs, once, and builds
#   scripts/docs.sh --check    checks links, named files and lengths only; installs nothing
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"

PACKAGES=(mkdocs-material==9.8.2 latex2mathml==3.81.1 codespell==2.4.1)

case "${1:-}" in
  --check) exec python3 scripts/check_docs.py ;;
  "") ;;
  *) echo "usage: scripts/docs.sh [--check]" >&2; exit 2 ;;
esac

python3 scripts/check_docs.py
if ! .venv-docs/bin/python -m pip freeze 2>/dev/null | grep -qxF -f <(printf '%s\n' "${PACKAGES[0]}") ||
  ! [ -x .venv-docs/bin/codespell ]; then
  say "Installing ${PACKAGES[*]} into .venv-docs"
  [ -x .venv-docs/bin/python ] || python3 -m venv .venv-docs
  .venv-docs/bin/python -m pip install -q "${PACKAGES[@]}"
fi
say "Checking the spelling"
.venv-docs/bin/codespell --ignore-words-list fwe README.md CONTRIBUTING.md docs/*.md docs/*/*.md
say "Building the site"
NO_MKDOCS_2_WARNING=1 .venv-docs/bin/mkdocs build --strict --quiet
if command -v doxygen >/dev/null; then
  say "Building the C++ reference"
  doxygen docs/Doxyfile
  say "Done. To read it, C++ reference (api/) included: python3 -m http.server -d build/site"
else
  say "Done. To read it: python3 -m http.server -d build/site. The C++ reference needs doxygen, which is not installed"
fi

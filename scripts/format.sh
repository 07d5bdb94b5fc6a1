#!/usr/bin/env bash
# Formats all C++ sources; with --check, lists unformatted files and fails.
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"
mapfile -t files < <(git ls-files --cached --others --exclude-standard '*.cpp' '*.h')
if [ "${1:-}" = --check ]; then
  clang-format --dry-run --Werror "${files[@]}"
else
  clang-format -i "${files[@]}"
fi

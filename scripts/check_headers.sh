#!/usr/bin/env bash
# Compiles each public header on its own, without the precompiled ones that hide a missing include. About 5 seconds of
# one core a header, so the tests do not do it.
#   scripts/check_headers.sh [MODULE ...]     (default: all modules)
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"

torch="${LIBTORCH_ROOT:-$(echo .venv/lib/python3*/site-packages/torch)}"
flags=(-std=c++20 -fsyntax-only -Wall -Wextra -Wno-missing-field-initializers -Werror -Iinclude -isystem "$torch/include"
  -isystem "$torch/include/torch/csrc/api/include")
modules=("$@")
[ ${#modules[@]} -gt 0 ] || modules=($(cd include/precis && ls -d */ | tr -d /))
headers=()
for module in "${modules[@]}"; do headers+=(include/precis/"$module"/*.h); done
say "Compiling ${#headers[@]} headers, each on its own"
check() {
  local header="$1"
  shift
  echo "#include \"${header#include/}\"" | "${CXX:-c++}" "$@" -x c++ - || { echo "$header"; return 1; }
}
export -f check
failed="$(printf '%s\n' "${headers[@]}" | xargs -P "$(nproc)" -I HEADER bash -c 'check "$@"' _ HEADER "${flags[@]}" || true)"
if [ -n "$failed" ]; then
  printf 'headers that do not compile on their own:\n%s\n' "$failed" >&2
  exit 1
fi
say "Each of ${#headers[@]} headers compiles on its own"

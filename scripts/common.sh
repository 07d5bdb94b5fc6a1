# Sourced by the other scripts: the project's root folder and shared functions.
set -euo pipefail
ROOT="$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)"
cd "$ROOT"
say() { printf '\n== %s\n' "$*" >&2; }

# Configures and builds build/release incrementally: everything, or the given targets.
build_release() {
  if [ $# -eq 0 ]; then
    say "Building everything into build/release (the first build takes about 15 minutes of one core)"
  else
    say "Building the program into build/release (the first build takes about 8 minutes of one core)"
  fi
  [ -f build/release/build.ninja ] || cmake --preset release
  cmake --build --preset release ${1:+--target "$@"}
}

# Sourced by the other scripts: the project's root folder and shared functions.
set -euo pipefail
ROOT="$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)"
cd "$ROOT"
say() { printf '\n== %s\n' "$*" >&2; }

# Configures and builds build/release incrementally.
build_release() {
  say "Building into build/release (the first build takes about 7 minutes on 2 cores)"
  [ -f build/release/build.ninja ] || cmake --preset release
  cmake --build --preset release
}

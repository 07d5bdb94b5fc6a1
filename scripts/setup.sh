#!/usr/bin/env bash
# Installs the build dependencies of precis: Debian packages, and LibTorch as the torch wheel in .venv. Skips everything
# already installed, and then needs no network.
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"

TORCH_VERSION="${PRECIS_TORCH_VERSION:-2.13.0}"
PACKAGES=(g++ cmake ninja-build ccache pkg-config git unzip python3-venv clang-format libsentencepiece-dev nlohmann-json3-dev
  libspdlog-dev libgtest-dev libicu-dev libcli11-dev zlib1g-dev libarchive-dev libxxhash-dev libgloo-dev libcpp-httplib-dev
  xz-utils zstd)

missing=()
for package in "${PACKAGES[@]}"; do
  dpkg-query -W -f='${Status}' "$package" 2>/dev/null | grep -q 'install ok installed' || missing+=("$package")
done
# Tools already in the PATH need no package.
keep=()
for package in "${missing[@]}"; do
  case "$package" in
    cmake | ccache | git | unzip | clang-format | pkg-config | zstd) command -v "$package" >/dev/null && continue ;;
    ninja-build) command -v ninja >/dev/null && continue ;;
    xz-utils) command -v xz >/dev/null && continue ;;
    python3-venv) python3 -c 'import ensurepip, venv' 2>/dev/null && continue ;;
  esac
  keep+=("$package")
done
if [ ${#keep[@]} -gt 0 ]; then
  say "Installing Debian packages: ${keep[*]}"
  sudo=()
  [ "$(id -u)" -eq 0 ] || sudo=(sudo -n)
  if ! { "${sudo[@]}" apt-get update -q && "${sudo[@]}" apt-get install -y -q --no-install-recommends "${keep[@]}"; }; then
    printf '\nsetup: cannot install these packages (no network or no permission):\n  %s\nInstall them, then run this script again:\n  apt-get install %s\n' \
      "${keep[*]}" "${keep[*]}" >&2
    exit 2
  fi
fi

if [ -n "${LIBTORCH_ROOT:-}" ]; then
  say "Using the LibTorch in $LIBTORCH_ROOT"
elif ! .venv/bin/python -c "import importlib.metadata as m; raise SystemExit(m.version('torch').split('+')[0] != '$TORCH_VERSION')" 2>/dev/null; then
  say "Installing torch $TORCH_VERSION (LibTorch) into .venv"
  [ -x .venv/bin/python ] || python3 -m venv .venv
  if ! .venv/bin/python -m pip install -q "torch==$TORCH_VERSION"; then
    printf '\nsetup: cannot install torch %s into .venv. To use another LibTorch, set LIBTORCH_ROOT to its folder.\n' "$TORCH_VERSION" >&2
    exit 2
  fi
fi
# Only the sweep plots need matplotlib, so a failure here is not an error.
if [ -x .venv/bin/python ] && ! .venv/bin/python -c 'import matplotlib' 2>/dev/null; then
  say "Installing matplotlib into .venv"
  .venv/bin/python -m pip install -q matplotlib || say "Cannot install matplotlib: scripts/plot_sweep.py will not run"
fi
say "Set-up is complete"

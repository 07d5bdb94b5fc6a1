#!/usr/bin/env bash
# Installs dependencies, builds, and runs all tests. Arguments are passed to ctest: scripts/test.sh -L unit
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"

scripts/setup.sh
build_release
scripts/fetch_smollm2.sh || say "Cannot download the real model; its tests will be skipped"
say "Running the tests"
ctest --test-dir build/release --output-on-failure "$@"

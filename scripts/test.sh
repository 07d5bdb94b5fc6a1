#!/usr/bin/env bash
# Set-up, build, all tests. Arguments go to ctest: scripts/test.sh -L unit
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"

scripts/setup.sh
build_release
scripts/fetch_smollm2.sh || say "The real model could not be fetched; its tests will be skipped"
say "Running the tests"
ctest --test-dir build/release --output-on-failure "$@"

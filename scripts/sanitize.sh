#!/usr/bin/env bash
# Builds with a sanitizer into build/KIND and runs the unit, property and fault tests and the fuzz replay:
# scripts/sanitize.sh address|undefined|thread. `address,undefined` is one build for both. `thread` runs with two
# threads, the others with one. Suppressions, with their reasons: tests/support/sanitizers.
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"
kind="${1:?usage: scripts/sanitize.sh address|undefined|thread}"
programs=(precis_unit_tests precis_property_tests precis_fault_tests precis_fuzz_replay)

say "Building into build/$kind"
# Some of LibTorch's classes have other members without NDEBUG, and LibTorch itself has it.
[ -f "build/$kind/build.ninja" ] || cmake -S . -B "build/$kind" -G Ninja -DCMAKE_BUILD_TYPE=None \
  -DCMAKE_CXX_FLAGS="-O1 -g1 -DNDEBUG -fno-omit-frame-pointer -fsanitize=$kind -fno-sanitize-recover=all" \
  -DCMAKE_UNITY_BUILD=ON -DPRECIS_WARNINGS_AS_ERRORS=OFF
cmake --build "build/$kind" --target "${programs[@]}"

export OMP_NUM_THREADS=1 UBSAN_OPTIONS=print_stacktrace=1
export ASAN_OPTIONS=detect_leaks=0  # LibTorch's and OpenMP's global tables would be reported
export TSAN_OPTIONS="suppressions=$ROOT/tests/support/sanitizers/thread.txt exitcode=66"
[ "$kind" = thread ] && export OMP_NUM_THREADS=2 OMP_WAIT_POLICY=passive  # spinning threads would slow the rest down
failed=0
for program in "${programs[@]}"; do
  say "$program with -fsanitize=$kind"
  arguments=(--gtest_brief=1)
  [ "$program" = precis_fuzz_replay ] && arguments=()
  "build/$kind/bin/$program" "${arguments[@]}" || failed=1
done
exit $failed

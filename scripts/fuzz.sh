#!/usr/bin/env bash
# Fuzzes the readers of files with clang's libFuzzer and AddressSanitizer, SECONDS in all: scripts/fuzz.sh SECONDS
# [READER...]. Prints inputs and coverage per reader. Fails on a crash, an exception other than Error, a hang (10 s) or
# more than 1 GB of memory, and names the input; once the reader is mended, add it to tests/fuzz/seeds/READER as found-*.
# Inputs that reach new code are kept in build/fuzz/corpus, and the next run starts from them.
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"
seconds="${1:?usage: scripts/fuzz.sh SECONDS [READER...]}"
shift
command -v clang++ >/dev/null || { echo "fuzz: clang++ is missing: apt-get install clang" >&2; exit 2; }

say "Building into build/fuzz"
# clang has no code for LibTorch's libgomp: our row loops run on one thread here.
[ -f build/fuzz/build.ninja ] || cmake -S . -B build/fuzz -G Ninja -DCMAKE_CXX_COMPILER=clang++ -DCMAKE_BUILD_TYPE=None \
  -DCMAKE_CXX_FLAGS="-O1 -g -DNDEBUG -fsanitize=fuzzer-no-link,address -fopenmp=libgomp" -DCMAKE_UNITY_BUILD=ON \
  -DPRECIS_BUILD_TESTS=OFF -DPRECIS_FUZZ=ON -DPRECIS_WARNINGS_AS_ERRORS=OFF
cmake --build build/fuzz --target precis_fuzz precis_fuzz_replay

readers=("$@")
[ ${#readers[@]} -gt 0 ] || mapfile -t readers < <(build/fuzz/bin/precis_fuzz_replay --list)
each=$((seconds / ${#readers[@]}))
[ "$each" -gt 0 ] || each=1
failed=0
export OMP_NUM_THREADS=1 ASAN_OPTIONS=detect_leaks=0:handle_abort=1
printf '%-16s %10s %8s %10s %8s  %s\n' reader inputs "per s" coverage corpus result
for reader in "${readers[@]}"; do
  corpus="build/fuzz/corpus/$reader" found="build/fuzz/found/$reader" log="build/fuzz/$reader.log"
  mkdir -p "$corpus" "$found"
  PRECIS_FUZZ_READER="$reader" build/fuzz/bin/precis_fuzz "$corpus" "tests/fuzz/seeds/$reader" \
    -max_total_time="$each" -rss_limit_mb=1024 -timeout=10 -max_len=8192 -artifact_prefix="$found/" \
    -print_final_stats=1 >"$log" 2>&1 &
  fuzzer=$!
  result=clean
  if ! wait "$fuzzer"; then
    failed=1
    result="FOUND $(sed -n 's/.*Test unit written to //p' "$log" | tail -1), see $log"
  fi
  rm -rf "/dev/shm/precis-fuzz-$fuzzer"  # a crash leaves it
  stat() { sed -n "s/^stat::$1: *//p" "$log"; }
  printf '%-16s %10s %8s %10s %8s  %s\n' "$reader" "$(stat number_of_executed_units)" "$(stat average_exec_per_sec)" \
    "$(sed -n 's/.* cov: \([0-9]*\) .*/\1/p' "$log" | tail -1)" "$(find "$corpus" -type f | wc -l)" "$result"
done
exit $failed

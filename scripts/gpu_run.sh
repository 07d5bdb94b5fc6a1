#!/usr/bin/env bash
# A short GPU session: runs the GPU tests, then trains soft-prompt rows around SmolLM2 at 16x, PIC and its unchunked
# baseline in parallel. Every step resumes: if interrupted, run it again.
#   scripts/gpu_run.sh BOOKS [SECONDS]      BOOKS: a folder, glob or archive of text; SECONDS for training (480)
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"

books="${1:?usage: scripts/gpu_run.sh BOOKS [SECONDS]}"
seconds="${2:-480}"
precis=build/release/bin/precis
[ -x "$precis" ] || build_release
scripts/fetch_smollm2.sh
data=runs/gpu/data
mkdir -p "$data"
[ -f "$data/train.jsonl" ] || "$precis" synth --out "$data/train.jsonl" --count 20000 --seed 1 --split train --entities 4
[ -f "$data/eval.jsonl" ] || "$precis" synth --out "$data/eval.jsonl" --count 100 --seed 1 --split eval --entities 4
"$precis" prepare "$books" --tokenizer models/SmolLM2-135M-Instruct.Q4_1.gguf --out "$data/books"

say "Running the GPU tests"
ctest --test-dir build/release -L gpu --output-on-failure || say "The GPU tests failed or were skipped; see above"
say "Training PIC and its baseline at 16x, at most $seconds s"
for method in pic icae; do
  timeout --signal=INT "$seconds" "$precis" train --config "configs/gpu/$method.json" >"runs/gpu/$method.log" 2>&1 &
done
wait || true
grep -h '"eval"' runs/gpu/*/metrics.jsonl || say "No evaluation results; see runs/gpu/*.log"

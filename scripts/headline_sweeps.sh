#!/usr/bin/env bash
# Sweeps for the three headline claims on the small decoders in assets/: trains and evaluates every missing cell, then
# draws the reports. Resumes if interrupted. Run it twice in parallel to use two cores (one thread per cell).
#   scripts/headline_sweeps.sh [pic] [pic-local] [pic-long] [sac] [comprexit] [comprexit-parts]     (default: all)
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"

precis=build/release/bin/precis
[ -x "$precis" ] || build_release
mkdir -p runs/sweeps/data
make_set() { [ -f "runs/sweeps/data/$1.jsonl" ] || "$precis" synth --out "runs/sweeps/data/$1.jsonl" --seed 1 "${@:2}"; }
make_set train --count 8000 --split train
make_set eval --count 100 --split eval
make_set train-4 --count 8000 --split train --entities 4
make_set eval-4 --count 100 --split eval --entities 4
for sweep in "${@:-pic pic-local pic-long sac comprexit comprexit-parts}"; do
  for name in $sweep; do
    say "Sweep $name"
    "$precis" sweep --config "configs/sweeps/$name.json"
    .venv/bin/python scripts/plot_sweep.py "runs/sweeps/$name" --baseline "$([ "$name" = sac ] && echo sac || echo icae)"
  done
done

#!/usr/bin/env bash
# The three headline claims on the small decoder in assets/: trains and evaluates every cell that is missing, then draws
# the reports. Stop it at any moment and run it again; run it twice side by side to use two cores (one thread a cell).
#   scripts/headline_sweeps.sh [pic] [sac] [comprexit]     (default: all three)
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"

precis=build/release/bin/precis
[ -x "$precis" ] || build_release
mkdir -p runs/sweeps/data
[ -f runs/sweeps/data/train.jsonl ] || "$precis" synth --out runs/sweeps/data/train.jsonl --count 8000 --seed 1 --split train
[ -f runs/sweeps/data/eval.jsonl ] || "$precis" synth --out runs/sweeps/data/eval.jsonl --count 100 --seed 1 --split eval
for sweep in "${@:-pic sac comprexit}"; do
  for name in $sweep; do
    say "Sweep $name"
    "$precis" sweep --config "configs/sweeps/$name.json"
    .venv/bin/python scripts/plot_sweep.py "runs/sweeps/$name" --baseline "$([ "$name" = sac ] && echo sac || echo icae)"
  done
done

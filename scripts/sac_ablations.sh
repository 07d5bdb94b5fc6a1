#!/usr/bin/env bash
# SAC at 4x on SmolLM2 and its paper's four ablations: trains each for a fixed number of steps, then writes one report
# per seed. Resumes if interrupted; finished runs are kept.
#   scripts/sac_ablations.sh [SEED ...]     (default: 1 2 3; about half an hour per seed on 2 cores)
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"

precis="${PRECIS:-build/release/bin/precis}"
data=runs/quickstart/data
runs=runs/sac-ablations
[ -x "$precis" ] || { scripts/setup.sh; build_release; }
scripts/fetch_smollm2.sh
mkdir -p "$data"
[ -f "$data/train.jsonl" ] || "$precis" synth --out "$data/train.jsonl" --count 6000 --seed 1 --split train
[ -f "$data/eval.jsonl" ] || "$precis" synth --out "$data/eval.jsonl" --count 100 --seed 1 --split eval

[ $# -gt 0 ] || set -- 1 2 3
for seed in "$@"; do
  folders=()
  for name in sac sac-causal sac-no-anchor-embedding sac-random-anchors sac-with-ae; do
    say "Seed $seed: $name"
    "$precis" train --config "configs/ablations/$name.json" "run.dir=$runs/seed-$seed/$name" "run.seed=$seed"
    folders+=("$runs/seed-$seed/$name")
  done
  "$precis" eval --config configs/ablations/eval.json "eval.compressors=$(IFS=,; echo "${folders[*]}")" \
    "run.dir=$runs/seed-$seed/report"
done

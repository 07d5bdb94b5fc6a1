#!/usr/bin/env bash
# Reproduces the compressors in assets/. Resumes if interrupted.
#   scripts/train_shipped_compressors.sh QA     QA: a folder with new_wiki, reddit and nq .jsonl.gz (training) and
#                                               squad.jsonl.gz (evaluation), in MRQA's format
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"

qa="$(realpath "$1")"
precis=build/release/bin/precis
[ -x "$precis" ] || build_release precis_program
scripts/fetch_smollm2.sh
data=runs/shipped/data
mkdir -p "$data"
for set in new_wiki reddit nq squad; do ln -sf "$qa/$set.jsonl.gz" "$data/$set.jsonl.gz"; done
[ -f "$data/joined.jsonl" ] ||
  scripts/join_documents.py "$data/joined.jsonl" "$qa/new_wiki.jsonl.gz" "$qa/reddit.jsonl.gz" "$qa/nq.jsonl.gz"
[ -f "$data/generated.jsonl" ] || "$precis" synth --out "$data/generated.jsonl" --seed 1 --count 3000 --split train
[ -f "$data/generated-4.jsonl" ] ||
  "$precis" synth --out "$data/generated-4.jsonl" --seed 1 --count 1000 --split train --entities 4
[ -f "$data/generated-eval.jsonl" ] || "$precis" synth --out "$data/generated-eval.jsonl" --seed 1 --count 100 --split eval

"$precis" train --config configs/shipped/smollm2-sac-4x-first.json
for name in smollm2-sac-4x small-comprexit-4x; do
  "$precis" train --config "configs/shipped/$name.json"
  [ -d "runs/shipped/$name/shipped" ] ||
    "$precis" export "runs/shipped/$name" --to precis --store bfloat16 --out "runs/shipped/$name/shipped"
done

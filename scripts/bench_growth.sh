#!/usr/bin/env bash
# Measures how cost grows: compressing 512 to 32,768 tokens (in parts, in bounded memory), decoding after prompts of
# increasing length, training steps with increasing batch size. Uses the small decoder, extended to 65,536 positions.
# Writes one JSON line per measurement to runs/bench/growth.jsonl and a table to standard output.
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"

precis=build/release/bin/precis
[ -x "$precis" ] || build_release
mkdir -p runs/bench/small-64k
cp assets/small-decoder/* runs/bench/small-64k/
sed -i 's/"max_position_embeddings": 1024/"max_position_embeddings": 65536/' runs/bench/small-64k/config.json
run() { "$precis" bench model.path=runs/bench/small-64k 'bench.dtype=["float32"]' 'bench.batch=[1]' "$@"; }
say "Measuring; keep the machine otherwise idle"
{
  run 'bench.jobs=["compress"]' 'bench.context=[512, 2048, 8192, 32768]' bench.segments_at_once=8 bench.repeat=3
  run 'bench.jobs=["decode"]' 'bench.prompt=[128, 512, 2048, 8192]' bench.repeat=3
  for batch in 1 2 4 8 16; do
    run 'bench.jobs=["train_step"]' 'bench.methods=["pic", "sac"]' 'bench.context=[256]' "bench.train_batch=$batch" bench.repeat=3
  done
} > runs/bench/growth.jsonl
.venv/bin/python scripts/bench_table.py runs/bench/growth.jsonl

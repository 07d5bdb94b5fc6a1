#!/usr/bin/env bash
# Every command as a user calls it: results on standard output, one clear line on errors, the right exit codes.
set -u
precis="$(realpath "$1")" root="$(realpath "$2")"
work="$(mktemp -d)"
trap 'rm -rf "$work"' EXIT
cd "$work" || exit 1
model="$root/models/SmolLM2-135M-Instruct.Q4_1.gguf"
failures=0 checks=0

# expect CODE PATTERN COMMAND...: the exit code, and a pattern in what it prints (both streams).
expect() {
  local code="$1" pattern="$2" output status
  shift 2
  output="$("$@" 2>&1 </dev/null)"
  status=$?
  checks=$((checks + 1))
  if [ "$status" -ne "$code" ] || ! grep -q -e "$pattern" <<<"$output"; then
    failures=$((failures + 1))
    printf 'FAIL: %s\n  exit code %s, expected %s; wanted "%s" in:\n%s\n' "$*" "$status" "$code" "$pattern" "$output"
  fi
}

expect 0 'precis' "$precis" --help
expect 2 'Usage' "$precis"
expect 2 'nonsense' "$precis" nonsense
expect 0 '"\$schema"' "$precis" --print-schema
expect 0 '"\$schema"' "$precis" train --print-schema
expect 0 '"rank": 128' "$precis" train compressor.method=sac --print-config
expect 0 '"method": "pic"' "${precis%precis}precis-train" --print-config

# Configuration: every problem at once, exit code 2.
printf '{"compressor": {"ratoi": 4}, "train": {"lr": "fast"}}' > bad.json
expect 2 'did you mean ratio' "$precis" train --config bad.json
expect 2 'train.lr' "$precis" train --config bad.json
expect 2 'model.path' "$precis" train
expect 2 'No such file' "$precis" train --config missing.json
expect 2 'finite number' "$precis" train train.lr=NaN
printf '{"a": 1, "a": 2}' > twice.json
expect 2 'stands twice' "$precis" train --config twice.json

# Tools.
expect 0 'contexts' "$precis" synth --out train.jsonl --count 40 --seed 1
expect 0 'contexts' "$precis" synth --out eval.jsonl --count 6 --seed 1 --split eval
"$precis" --quiet synth --out again.jsonl --count 40 --seed 1 && cmp -s train.jsonl again.jsonl || { echo "FAIL: synth is not repeatable"; failures=$((failures + 1)); }
expect 2 'count' "$precis" synth --out x.jsonl --count 0 --seed 1
printf '{"x": "y"}' > predictions.json
expect 0 '"missing":18' "$precis" score eval.jsonl predictions.json
expect 2 'no such\|cannot open' "$precis" score nowhere.jsonl predictions.json
printf '' > empty.jsonl
expect 2 'no questions' "$precis" score empty.jsonl predictions.json
expect 2 'nothing that precis knows' "$precis" inspect "$work"
printf 'short' > t.safetensors
expect 2 'too short' "$precis" inspect t.safetensors
# No room left: a resource error, and nothing half-written stays behind.
expect 3 'File too large' bash -c 'trap "" XFSZ; ulimit -f 8; exec "$0" synth --out big.jsonl --count 2000 --seed 1' "$precis"
[ -z "$(ls -A | grep big)" ] || { echo "FAIL: a failed write left $(ls -A | grep big)"; failures=$((failures + 1)); }

# Every shipped configuration resolves.
for config in "$root"/configs/*/*.json; do expect 0 '"compressor"' "$precis" train --config "$config" --print-config; done

if [ ! -f "$model" ]; then
  echo "the commands on the real model are left out: $model is not here"
else
  expect 0 '"vocabulary": 49152' "$precis" inspect "$model"
  [ "$(echo '"1973 Paris"' | "$precis" tokenize --tokenizer "$model")" = "[33,41,39,35,7042]" ] || { echo "FAIL: tokenize"; failures=$((failures + 1)); }
  [ "$(echo '[33,41,39,35,7042]' | "$precis" tokenize --tokenizer "$model" --decode)" = '"1973 Paris"' ] || { echo "FAIL: tokenize --decode"; failures=$((failures + 1)); }
  small=(model.path="$model" data.train=train.jsonl data.eval=eval.jsonl compressor.lora.rank=4 compressor.lora.dropout=0 compressor.carrier=kv compressor.projector=none
    compressor.segment_length=128 train.batch=2 train.log_interval=1 train.save_interval=2 --json)
  expect 0 '"steps":2' "$precis" train run.dir=run train.steps=2 "${small[@]}"
  expect 0 'going on from step 2' "$precis" train run.dir=run train.steps=3 "${small[@]}"
  expect 0 'already finished' "$precis" train run.dir=run train.steps=3 "${small[@]}"
  expect 2 'compressor.ratio was 4, is 8' "$precis" train run.dir=run compressor.ratio=8 "${small[@]}"
  expect 0 '"finished": true' "$precis" inspect run
  expect 0 'em_percent' "$precis" eval model.path="$model" data.eval=eval.jsonl eval.limit=4 eval.compressors=run run.dir=report --json
  for file in report.json report.md predictions/pic-4.json predictions/full.json predictions/none.json predictions/truncate-4.json; do
    [ -s "report/$file" ] || { echo "FAIL: report/$file is missing"; failures=$((failures + 1)); }
  done
  expect 1 'below its target' "$precis" eval model.path="$model" data.eval=eval.jsonl eval.limit=2 eval.compressors=run eval.references= eval.target_em=100 run.dir=report2
  expect 2 'no trained compressor' "$precis" eval model.path="$model" data.eval=eval.jsonl eval.compressors=nowhere run.dir=report3
  # An interrupted run saves, says so with 130, and goes on.
  "$precis" --quiet train run.dir=stopped train.steps=1000 "${small[@]}" >/dev/null 2>stopped.log &
  pid=$!
  for _ in $(seq 100); do [ -s stopped/metrics.jsonl ] && break; sleep 0.3; done
  expect 2 'in use' "$precis" train run.dir=stopped train.steps=1000 "${small[@]}"
  kill -INT "$pid"
  wait "$pid"
  [ $? -eq 130 ] && ls stopped/checkpoints/step-* >/dev/null || { echo "FAIL: interruption: $(cat stopped.log)"; failures=$((failures + 1)); }
  checks=$((checks + 10))
fi
echo "cli: $checks checks, $failures failed"
[ "$failures" -eq 0 ]

#!/usr/bin/env bash
# Installs the library into a folder of its own, builds examples/ against it with find_package, and runs the result.
set -eu
build="$(realpath "$1")" root="$(realpath "$2")"
work="$(mktemp -d)"
trap 'rm -rf "$work"' EXIT
cmake --install "$build" --prefix "$work/install" >/dev/null
cmake -S "$root/examples" -B "$work/build" -G Ninja -DCMAKE_BUILD_TYPE=Release -DCMAKE_PREFIX_PATH="$work/install" >/dev/null
cmake --build "$work/build"
"$work/install/bin/precis" --version
"$work/build/last_tokens" --help >/dev/null
"$work/build/last_tokens" train compressor.method=last-tokens --print-config | grep -q '"method": "last-tokens"'
model="$root/models/SmolLM2-135M-Instruct.Q4_1.gguf"
if [ ! -f "$model" ]; then
  echo "the example is not run on a model: $model is not here"
  exit 0
fi
"$work/build/complete" "$model" "The capital of France is" | grep -q Paris
cd "$work"
"$work/install/bin/precis" --quiet synth --out train.jsonl --count 8 --seed 1
"$work/build/last_tokens" --quiet train compressor.method=last-tokens compressor.projector=none compressor.lora.rank=0 model.path="$model" \
  data.train=train.jsonl train.steps=2 train.batch=2 run.dir=run
# A memory file of one's own method, read by the command and, for a method that precis has, by the library.
"$work/build/last_tokens" --quiet compress --compressor run --jsonl train.jsonl --text-field context --out memories --json 2>err | grep -q '"entries"'
"$work/install/bin/precis" --quiet train model.path="$model" data.train=train.jsonl train.steps=2 train.batch=2 run.dir=sac \
  compressor.method=sac compressor.lora.rank=2 train.log_interval=1
printf 'The company was founded by Ivy Zanewick in 1813. It sells tea.' > text.txt
"$work/install/bin/precis" --quiet compress --compressor sac --text text.txt --out m.safetensors
"$work/install/bin/precis" --quiet generate --compressor sac --memory m.safetensors --prompt " It sells" --max-new-tokens 24 > command.txt
"$work/build/answer_from_memory" "$model" sac m.safetensors " It sells" > library.txt
cmp command.txt library.txt
"$work/build/last_tokens" --quiet eval model.path="$model" data.eval=train.jsonl eval.limit=2 eval.compressors=run eval.references=none run.dir=report | grep -q last-tokens-4

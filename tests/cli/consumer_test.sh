#!/usr/bin/env bash
# Installs the library into a temporary folder, builds examples/ against it with find_package, and runs the result.
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

# Without CMake, by pkg-config; the ready configurations are installed.
cat > "$work/tiny.cpp" <<'END'
#include <cstdio>
#include "precis/text/tokenizer.h"
int main(int, char** words) { std::printf("%lld\n", static_cast<long long>(precis::load_tokenizer(words[1])->vocabulary_size())); }
END
export PKG_CONFIG_PATH="$work/install/lib/pkgconfig"
c++ "$work/tiny.cpp" -o "$work/tiny" $(pkg-config --cflags --libs precis)
test "$("$work/tiny" "$root/assets/small-decoder")" = 1024
"$work/install/bin/precis" configs show quickstart/sac | grep -q '"method": "sac"'

# A custom method with its own settings: checked, printed, documented, trained, resumed, swept, reported, exported.
pool="$work/build/learned_pool" small="$root/assets/small-decoder"
"$pool" --print-schema | grep -q '"spread"'
"$pool" train compressor.method=learned-pool compressor.learned-pool.spread=0.5 --print-config | grep -q '"spread": 0.5'
"$pool" train compressor.method=learned-pool compressor.learned-pool.spreed=1 model.path="$small" run.dir=x 2>&1 | grep -q 'did you mean spread'
"$work/install/bin/precis" --quiet synth --out "$work/train.jsonl" --count 8 --seed 1
own=(compressor.method=learned-pool model.path="$small" data.train="$work/train.jsonl" data.eval="$work/train.jsonl" \
  train.batch=2 train.steps=4 train.save_interval=2 train.log_interval=1)
"$pool" --quiet train "${own[@]}" run.dir="$work/pool"
cp -r "$work/pool/compressor" "$work/whole"
rm -r "$work/pool/compressor" "$work"/pool/checkpoints/step-*4
"$pool" train "${own[@]}" run.dir="$work/pool" > "$work/resumed.log" 2>&1
grep -q 'resuming from step 2' "$work/resumed.log"
cmp "$work/whole/compressor.safetensors" "$work/pool/compressor/compressor.safetensors"  # resumed to the same bits
"$pool" --quiet eval model.path="$small" data.eval="$work/train.jsonl" eval.limit=2 eval.compressors="$work/pool" eval.references=none run.dir="$work/pool-report" | grep -q learned-pool-4
"$pool" --quiet sweep "${own[@]}" eval.limit=2 eval.references=none run.dir="$work/pool-sweep" 'sweep.ratios=[4,8]' \
  'sweep.methods=[{"name":"even","set":["compressor.learned-pool.spread=1"]},{"name":"free","set":["compressor.learned-pool.spread=0"]}]'
test "$(grep -c '"method":"even"\|"method":"free"' "$work/pool-sweep/results.jsonl")" = 4
"$pool" --quiet export "$work/pool" --to peft --out "$work/pool-peft"
test -f "$work/pool-peft/adapter_model.safetensors"

model="$root/models/SmolLM2-135M-Instruct.Q4_1.gguf"
if [ ! -f "$model" ]; then
  echo "skipped: the examples on the real model ($model not found)"
  exit 0
fi
"$work/build/complete" "$model" "The capital of France is" | grep -q Paris
cd "$work"
"$work/install/bin/precis" --quiet synth --out train.jsonl --count 8 --seed 1
"$work/build/last_tokens" --quiet train compressor.method=last-tokens compressor.projector=none compressor.lora.rank=0 model.path="$model" \
  data.train=train.jsonl train.steps=2 train.batch=2 run.dir=run
# Memory files: of a custom method through the command, of a built-in method also through the library.
"$work/build/last_tokens" --quiet compress --compressor run --jsonl train.jsonl --text-field context --out memories --json 2>err | grep -q '"entries"'
"$work/install/bin/precis" --quiet train model.path="$model" data.train=train.jsonl train.steps=2 train.batch=2 run.dir=sac \
  compressor.method=sac compressor.lora.rank=2 train.log_interval=1
printf 'The company was founded by Ivy Zanewick in 1813. It sells tea.' > text.txt
"$work/install/bin/precis" --quiet compress --compressor sac --text text.txt --out m.safetensors
"$work/install/bin/precis" --quiet generate --compressor sac --memory m.safetensors --prompt " It sells" --max-new-tokens 24 > command.txt
"$work/build/answer_from_memory" "$model" sac m.safetensors " It sells" > library.txt
cmp command.txt library.txt
"$work/build/last_tokens" --quiet eval model.path="$model" data.eval=train.jsonl eval.limit=2 eval.compressors=run eval.references=none run.dir=report | grep -q last-tokens-4

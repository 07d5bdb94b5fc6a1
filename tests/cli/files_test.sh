#!/usr/bin/env bash
# Files, links, pipes, limits and signals, as a user meets them, around the small decoder.
#   files_test.sh PRECIS PROJECT SHIM
precis="$(realpath "$1")" root="$(realpath "$2")" shim="$(realpath "$3")"
source "$(dirname "${BASH_SOURCE[0]}")/checks.sh"
export OMP_NUM_THREADS=1

"$precis" --quiet synth --out train.jsonl --count 20 --seed 1
small=(model.path="$root/assets/small-decoder" data.train=train.jsonl compressor.method=sac compressor.segment_length=64 compressor.lora.rank=2 train.batch=1 train.save_interval=1 --json)
printf 'Ulonia Company sells tea.' > text.txt

# A run folder behind a link, at another depth, is resumed and used.
mkdir -p disk/a/b/c && ln -s disk/a/b/c runs
expect 0 '"steps":2' "$precis" train run.dir=runs/one train.steps=2 "${small[@]}"
expect 0 '"steps":4' "$precis" train run.dir=runs/one train.steps=4 "${small[@]}"
expect 0 'entries' "$precis" compress --compressor runs/one --text text.txt --out m.safetensors
expect 0 '"steps":3' "$precis" train run.dir=run train.steps=3 train.keep=5 "${small[@]}"
expect 0 'entries' "$precis" compress --compressor run --text text.txt --out m.safetensors

# Which checkpoint is read.
expect 0 'entries' "$precis" compress --compressor run --checkpoint 2 --text text.txt --out two.safetensors
expect 0 'entries' "$precis" compress --compressor run --checkpoint last --text text.txt --out last.safetensors
that "the last checkpoint is not the second" test -n "$(cmp m.safetensors two.safetensors)" -a -z "$(cmp m.safetensors last.safetensors)"
expect 2 'last, best or a step: 1, 2, 3' "$precis" compress --compressor run --checkpoint 7 --text text.txt --out x.safetensors
expect 2 'train.keep_best' "$precis" compress --compressor run --checkpoint best --text text.txt --out x.safetensors

# Memories of another dtype or ratio are not "already done".
printf '{"id": "x", "text": "one text"}\n' > documents.jsonl
expect 0 '1 compressed' "$precis" compress --compressor run --jsonl documents.jsonl --out memories --store float32
expect 0 '0 compressed, 1 already done' "$precis" compress --compressor run --jsonl documents.jsonl --out memories --store float32
expect 0 '1 compressed' "$precis" compress --compressor run --jsonl documents.jsonl --out memories --store bfloat16
mixed=("${small[@]}" "compressor.ratio=[2, 4]")
expect 0 '"steps":1' "$precis" train run.dir=mixed train.steps=1 "${mixed[@]}"
expect 0 '1 compressed' "$precis" compress --compressor mixed --jsonl documents.jsonl --out by_ratio
expect 0 '1 compressed' "$precis" compress --compressor mixed --jsonl documents.jsonl --out by_ratio --ratio 4
# A run in float32 is read in float32.
expect 0 '"steps":1' "$precis" train run.dir=exact train.steps=1 model.dtype=float32 "${small[@]}"
expect 0 'parameters in Float,' "$precis" compress --compressor exact --text text.txt --out f.safetensors

# Names.
expect 0 '' "$precis" export run --to peft --out adapter/
that "export --out with a slash at the end" test -f adapter/adapter_model.safetensors
expect 0 '' "$precis" import adapter --from peft --model "$root/assets/small-decoder" --out imported/ compressor.method=sac
HOME="$work" expect 0 '"steps":0' "$precis" train 'run.dir=~/home_run' train.steps=0 "${small[@]}"
that "run.dir=~/x is below the home folder" test -d home_run -a ! -e '~'
mkdir '[books]' && printf 'The river and the town.' > '[books]/a.txt'
expect 0 '"documents":1' "$precis" prepare '[books]' --tokenizer "$root/assets/small-decoder" --out corpus --json
expect 0 '"documents":2' "$precis" prepare text.txt '[books]' --tokenizer "$root/assets/small-decoder" --out corpora --json
answer() { "$precis" --quiet generate --compressor run --memory m.safetensors --prompt ' It' --max-new-tokens 12 --json "$@" | sed 's/.*"text":"\([^"]*\)".*/\1/'; }
whole="$(answer)"
that "--stop '[x]' is the text with its brackets" test "$(answer --stop "[${whole:1:2}]")" = "$whole"
that "--stop x is a stop text" test "$(answer --stop "${whole:1:2}")" != "$whole"

# A folder for Python users; python/tests/test_export.py compares what its code computes.
expect 0 'for_python' "$precis" export run --to transformers --out for_python --base-name org/base
for file in README.md adapter_config.json adapter_model.safetensors compressor.json compressor.safetensors; do
  that "export --to transformers writes $file" test -s for_python/$file
done
that "compress.py is the project's" cmp -s for_python/compress.py "$root/python/export/compress.py"
expect 0 'base_model: "org/base"' cat for_python/README.md
expect 1 '' grep -F -e "$root" -e "$work" for_python/README.md for_python/adapter_config.json for_python/compressor.json
expect 2 'already exists' "$precis" export run --to transformers --out for_python
expect 0 '"steps":0' "$precis" train run.dir=beacon train.steps=0 "${small[@]}" compressor.method=beacon
expect 2 'does not have this method' "$precis" export beacon --to transformers --out refused
expect 0 '"steps":0' "$precis" train run.dir=random train.steps=0 "${small[@]}" compressor.sac.anchor_selection=random
expect 2 'does not have random anchors' "$precis" export random --to transformers --out refused
that "a refused export leaves no folder" test -z "$(find . -maxdepth 1 -name '*refused*')"

# Outputs that are not plain files.
for words in "inspect $root/assets/small-decoder" "train --print-config"; do
  "$precis" $words > /dev/full 2>/dev/null
  that "$words > /dev/full: exit code $?" test $? -eq 3
done
mkfifo pipe && exec 9<>pipe
expect 0 '' "$precis" --quiet synth --out pipe --count 1 --seed 1
that "--out names a pipe" test -p pipe
exec 9>&-
(ulimit -f 8 && "$precis" synth --out big.jsonl --count 200 --seed 1 > limit.txt 2>&1)
that "a limit on file sizes: exit code $?" test $? -eq 3 -a -z "$(find . -name '*.tmp-*')"
LD_PRELOAD="$shim" SHIM_FLOCK=38 expect 0 'no locks' "$precis" train run.dir=nolocks train.steps=0 "${small[@]}"
LD_PRELOAD="$shim" SHIM_FLOCK=11 expect 2 'another process' "$precis" train run.dir=locked train.steps=0 "${small[@]}"
LD_PRELOAD="$shim" SHIM_FOLDER_SYNC=22 expect 0 '' "$precis" synth --out s.jsonl --count 1 --seed 1
"$precis" train run.dir=closed train.steps=0 "${small[@]}" > out.txt 2>&-
that "standard error closed: nothing in the lock file" test ! -s closed/.lock

# One signal ends a command that cannot stop and resume, and its temporary file goes too.
mkfifo nothing && exec 8<>nothing
for words in "tokenize --tokenizer $root/assets/small-decoder" "synth --out many.jsonl --count 90000000 --seed 1"; do
  (trap - INT; exec "$precis" $words) < nothing > /dev/null 2>&1 &
  pid=$!
  sleep 1
  kill -TERM $pid
  for _ in $(seq 40); do kill -0 $pid 2>/dev/null || break; sleep 0.1; done
  that "one signal ends $words" test ! -d /proc/$pid
  kill -KILL $pid 2>/dev/null
  wait $pid 2>/dev/null
done
exec 8>&-
that "no temporary file is left: $(find . -name '*.tmp-*')" test -z "$(find . -name '*.tmp-*')"

# Bad input names the file.
mkdir -p broken_run/checkpoints broken_sweep && echo '{}' > broken_run/config.json && echo '{"cell": "a"}' > broken_sweep/results.jsonl
expect 2 'config.json: the key "compressor" is missing' "$precis" inspect broken_run
expect 2 'results.jsonl line 1: the key' "$precis" inspect broken_sweep
printf 'caf\351' > latin.txt
expect 2 'latin.txt, byte 3' "$precis" compress --compressor run --text latin.txt --out x.safetensors
expect 2 'latin.txt, byte 3' "$precis" generate --compressor run --text latin.txt --prompt x
printf '\377\376{}' > utf16.json && printf '{"q": "x"}' > predictions.json
"$precis" score utf16.json predictions.json 2> message.txt
that "a message about other bytes is UTF-8" iconv -f UTF-8 -t UTF-8 -o /dev/null message.txt
for value in nan -1 1000; do expect 2 'expected' "$precis" generate --compressor run --memory m.safetensors --prompt x --temperature $value; done
that "a temperature near 0 is greedy" test "$(answer --temperature 1e-300)" = "$whole"
that "top-p 0 is greedy" test "$(answer --temperature 1 --top-p 0)" = "$whole"

echo "$checks checks, $failures failures"
[ "$failures" -eq 0 ]

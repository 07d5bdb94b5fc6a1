#!/usr/bin/env bash
# Every command as a user runs it: results on standard output, one clear line on errors, the right exit codes.
precis="$(realpath "$1")" root="$(realpath "$2")"
source "$(dirname "${BASH_SOURCE[0]}")/checks.sh"
model="$root/models/SmolLM2-135M-Instruct.Q4_1.gguf"

expect 0 'precis' "$precis" --help
expect 2 'Usage' "$precis"
expect 2 'unknown command.*nonsense' "$precis" nonsense
expect 2 'did you mean eval' "$precis" evl
expect 2 'did you mean --question' "$precis" generate --questin x
expect 0 'Compare:' "$precis" --help
expect 0 'default: 0.0' "$precis" explain train.weight_decay
expect 0 'train.weight_decay' "$precis" explain weight_decay
expect 2 'did you mean train.batch' "$precis" explain train.bach
expect 0 '"lr": 0.5' "$precis" train train.lr=0.5 --diff
"$precis" completion bash > completion.sh
expect 0 'explain' bash -c 'source completion.sh; COMP_WORDS=(precis exp); COMP_CWORD=1; _precis 2> /dev/null; echo "${COMPREPLY[@]}"'
expect 0 'train.lr=' bash -c 'source completion.sh; COMP_WORDS=(precis train train.l); COMP_CWORD=2; _precis 2> /dev/null; echo "${COMPREPLY[@]}"'
expect 0 '"\$schema"' "$precis" --print-schema
"$precis" --print-cli > cli.md
expect 0 '' diff -u cli.md "$root/docs/cli.md"
expect 0 '^m2 *8  \. \.\.\.\.1111 \.1$' "$precis" mask compressor.ratio=4 --length 8
expect 0 '"rows":"tttt' "$precis" mask compressor.method=sac compressor.ratio=4 --length 4 --json
expect 2 'no single encoder mask' "$precis" mask compressor.method=comprexit
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
expect 2 'duplicate key' "$precis" train --config twice.json

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
expect 2 'unknown kind of folder' "$precis" inspect "$work"
printf 'short' > t.safetensors
expect 2 'too short' "$precis" inspect t.safetensors
# Corpora, compressed and plain. A finished corpus is not prepared again.
mkdir books && for i in 1 2 3; do for j in $(seq 60); do echo "Book $i, line $j, tells of the river and of the town behind it."; done > books/$i.txt; done
gzip -k books/1.txt && mv books/1.txt books/4.md && printf '{"context": "a passage"}\n' > passages.jsonl
if [ -f "$model" ]; then
  expect 0 'tokens of 4 documents in 1 shards' "$precis" prepare books --tokenizer "$model" --out corpus
  expect 0 '"documents":4' "$precis" prepare books --tokenizer "$model" --out corpus --json
  expect 0 '"kind": "prepared corpus"' "$precis" inspect corpus
  expect 2 'the folder holds another corpus: "field" differs' "$precis" prepare books --tokenizer "$model" --out corpus --field context
  expect 0 'of 1 documents' "$precis" prepare passages.jsonl --field context --tokenizer "$model" --out passages
  expect 2 'the key "text" is missing' "$precis" prepare passages.jsonl --tokenizer "$model" --out passages2
  expect 2 'no such file' "$precis" prepare 'none*.txt' --tokenizer "$model" --out none
fi

# Pretrain a small decoder in a few steps, run a sweep around it, and write its report. Finished work is not repeated.
tiny=(--hidden 32 --heads 2 --kv-heads 1 --intermediate 48 --layers 2 --vocabulary 512 --batch 4)
expect 0 'parameters, 6 steps' "$precis" pretrain --out small "${tiny[@]}" --steps 6
expect 0 'parameters, 6 steps' "$precis" pretrain --out small "${tiny[@]}" --steps 6
expect 2 'a decoder with other options' "$precis" pretrain --out small "${tiny[@]}" --steps 7
expect 2 'heads do not divide the hidden size' "$precis" pretrain --out small2 --hidden 33 --heads 2 --steps 6
expect 0 '"family": "llama"' "$precis" inspect small
expect 0 'parameters, 2 steps' "$precis" pretrain --out longer --start-from small --entities 2 --batch 4 --steps 2
expect 0 '"vocabulary": 512' cat longer/training.json
expect 0 '' cmp small/tokenizer.model longer/tokenizer.model
expect 2 'not a decoder made by precis pretrain' "$precis" pretrain --out longer2 --start-from nowhere --steps 2
expect 0 '80 steps' "$precis" pretrain --out whole "${tiny[@]}" --steps 80 --threads 1
"$precis" --quiet pretrain --out broken "${tiny[@]}" --steps 80 --threads 1 >/dev/null 2>&1 &
pid=$!
sleep 1.2
kill -INT "$pid" 2>/dev/null
wait "$pid"
expect 0 '80 steps' "$precis" pretrain --out broken "${tiny[@]}" --steps 80 --threads 1
checks=$((checks + 1))
cmp -s whole/model.safetensors broken/model.safetensors || { echo "FAIL: an interrupted pretraining run gives another result"; failures=$((failures + 1)); }
for kind in yes-no icl; do expect 0 'contexts' "$precis" synth --out $kind.jsonl --count 4 --seed 1 --kind $kind; done
cat > sweep.json <<'END'
{"model": {"path": "small"}, "data": {"train": ["train.jsonl"], "eval": ["eval.jsonl"], "max_context_tokens": 1000},
 "train": {"steps": 2, "batch": 2, "eval_interval": 1, "eval_limit": 4}, "eval": {"limit": 6, "max_new_tokens": 4, "bootstrap_samples": 20},
 "sweep": {"methods": [{"name": "pic", "set": ["compressor.lora.rank=2"]}, {"name": "icae", "set": ["compressor.method=icae", "compressor.lora.rank=2"]}],
           "ratios": [4, 16], "baseline": "icae"}, "run": {"dir": "sweep", "threads": 1}}
END
expect 0 'pic-16x-seed-1 .*to do' "$precis" sweep --config sweep.json --list
expect 0 'Difference to icae' "$precis" sweep --config sweep.json
expect 0 '"threads":1,"command":"precis sweep --config sweep.json"' tail -n 1 sweep/results.jsonl
expect 0 '"done_now":0' "$precis" sweep --config sweep.json --json
expect 0 'icae-4x-seed-1 .*done' "$precis" sweep --config sweep.json --list
expect 0 'sac-8x-seed-7 .*to do' "$precis" sweep --config sweep.json --methods sac,icae --ratios 4,8 --seeds 7 --list
expect 0 '"kind": "sweep"' "$precis" inspect sweep
printf 'Mira Tov moved to Kelu in spring and paints birds there.' > note.txt
expect 0 'own chunk' "$precis" inspect sweep/cells/pic-4x-seed-1 --attention note.txt
expect 0 '"own_chunk"' "$precis" inspect sweep/cells/pic-4x-seed-1 --attention note.txt --untrained --json

# Text corpora: train a tokenizer and a decoder, train memory rows to reconstruct the text, evaluate on held-out text.
for i in $(seq 1 60); do echo "On day $i the ferry left at noon, and the keeper of the light wrote $((i * 7)) words."; done > plain.txt
expect 0 '300 pieces from' "$precis" train-tokenizer plain.txt --vocabulary 300 --out plain-tokenizer
expect 0 'of 1 documents' "$precis" prepare plain.txt --tokenizer plain-tokenizer --out plain-corpus
expect 0 'held_out_perplexity' "$precis" pretrain --out plain-decoder "${tiny[@]}" --steps 4 --corpus plain-corpus --held-out plain-corpus --tokenizer plain-tokenizer --context 32
expect 2 'needs the tokenizer it was prepared with' "$precis" pretrain --out plain-decoder2 "${tiny[@]}" --steps 4 --corpus plain-corpus
plain=(model.path=plain-decoder data.train=plain-corpus data.eval=plain-corpus data.max_context_tokens=32 data.continuation_tokens=8)
expect 0 '4 steps' "$precis" train "${plain[@]}" compressor.lora.rank=2 train.objectives.ae=1 train.objectives.qa=0 train.steps=4 train.batch=2 train.eval_interval=2 train.eval_limit=4 'train.eval_tasks=autoencoding,continuation' run.dir=plain-run
expect 0 'autoencoding_next_token_accuracy_percent' cat plain-run/metrics.jsonl
expect 0 'loss_nats' "$precis" eval "${plain[@]}" eval.compressors=plain-run eval.tasks=autoencoding,continuation eval.references=full,none eval.limit=6 run.dir=plain-report
expect 2 'has no questions' "$precis" eval "${plain[@]}" eval.compressors=plain-run eval.limit=6 run.dir=plain-report2
expect 1 '2 of 7 cells failed' "$precis" sweep --config sweep.json 'sweep.methods=[{"name":"pic","set":["compressor.lora.rank=2"]},{"name":"bad","set":["data.train=nowhere.json"]},{"name":"icae","set":["compressor.method=icae","compressor.lora.rank=2"]}]'
expect 2 'the sweep has no cells' "$precis" sweep --config sweep.json sweep.methods=[]
# A sweep killed at random moments and run again gives the results of an uninterrupted one.
RANDOM=1
for attempt in $(seq 15); do
  "$precis" --quiet sweep --config sweep.json run.dir=killed >/dev/null 2>&1 &
  pid=$!
  sleep "$((RANDOM % 2)).$((RANDOM % 10))"
  kill -KILL "$pid" 2>/dev/null
  wait "$pid" 2>/dev/null
done
expect 0 'Difference to icae' "$precis" sweep --config sweep.json run.dir=killed
figures() {
  python3 -c '
import json, sys
for line in sorted(open(sys.argv[1])):
    line = json.loads(line)
    print(line["cell"], line["row"]["name"], json.dumps(line["row"]["tasks"], sort_keys=True))' "$1" | sort
}
figures sweep/results.jsonl > figures-whole.txt
figures killed/results.jsonl > figures-killed.txt
checks=$((checks + 1))
{ [ -s figures-whole.txt ] && cmp -s figures-whole.txt figures-killed.txt; } || { echo "FAIL: a killed sweep gives other results"; diff figures-whole.txt figures-killed.txt | head; failures=$((failures + 1)); }
python="$root/.venv/bin/python"
if "$python" -c 'import matplotlib' 2>/dev/null; then
  expect 0 'report.html' "$python" "$root/scripts/plot_sweep.py" sweep
  expect 0 '<svg' cat sweep/report.html
  expect 1 'no such file' "$python" "$root/scripts/plot_sweep.py" corpus
fi
expect 0 'accuracy_percent' "$precis" eval model.path=small data.eval=yes-no.jsonl,icl.jsonl eval.tasks=choice eval.compressors=sweep/cells/pic-4x-seed-1 eval.references=full,none,mean-pool run.dir=choice
expect 0 'bleu_4.*rouge_l_percent' "$precis" eval model.path=small data.eval=eval.jsonl eval.limit=3 eval.tasks=reconstruction,continuation data.continuation_tokens=8 eval.compressors=sweep/cells/pic-4x-seed-1 run.dir=reconstruction
expect 2 'without options' "$precis" eval model.path=small data.eval=eval.jsonl eval.tasks=choice run.dir=nochoice

# Disk full: a resource error, and no partial file remains.
expect 3 'File too large' bash -c 'trap "" XFSZ; ulimit -f 8; exec "$0" synth --out big.jsonl --count 2000 --seed 1' "$precis"
[ -z "$(ls -A | grep big)" ] || { echo "FAIL: a failed write left $(ls -A | grep big)"; failures=$((failures + 1)); }

# Every configuration in configs/ resolves.
for config in "$root"/configs/*/*.json; do expect 0 '"compressor"' "$precis" train --config "$config" --print-config; done

# The papers' configurations print their plan without the papers' models.
for config in "$root"/configs/paper/*.json; do expect 0 '"memory_entries_of_longest_context"' "$precis" train --config "$config" --dry-run; done
expect 0 'sac-64x-seed-3-out-of-domain .*to do' "$precis" sweep --config "$root/configs/paper/sweep.json" --list
expect 2 'no model found' "$precis" train --dry-run model.path=nowhere

if [ ! -f "$model" ]; then
  echo "skipped: the commands on the real model ($model not found)"
else
  expect 0 '"vocabulary": 49152' "$precis" inspect "$model"
  [ "$(echo '"1973 Paris"' | "$precis" tokenize --tokenizer "$model")" = "[33,41,39,35,7042]" ] || { echo "FAIL: tokenize"; failures=$((failures + 1)); }
  [ "$(echo '[33,41,39,35,7042]' | "$precis" tokenize --tokenizer "$model" --decode)" = '"1973 Paris"' ] || { echo "FAIL: tokenize --decode"; failures=$((failures + 1)); }
  small=(model.path="$model" data.train=train.jsonl data.eval=eval.jsonl compressor.lora.rank=4 compressor.lora.dropout=0 compressor.carrier=kv compressor.projector=none
    compressor.segment_length=128 train.batch=2 train.log_interval=1 train.save_interval=2 --json)
  expect 0 '"steps":2' "$precis" train run.dir=run train.steps=2 "${small[@]}"
  expect 0 'resuming from step 2' "$precis" train run.dir=run train.steps=3 "${small[@]}"
  expect 0 'already finished' "$precis" train run.dir=run train.steps=3 "${small[@]}"
  expect 2 'compressor.ratio was 4, is 8' "$precis" train run.dir=run compressor.ratio=8 "${small[@]}"
  expect 0 '"finished": true' "$precis" inspect run
  # A prepared corpus instead of questions, its plan, and its errors.
  expect 0 '"steps":2' "$precis" train run.dir=lm train.steps=2 "${small[@]}" data.train=corpus train.objectives.qa=0 train.objectives.lm=1 data.max_context_tokens=64 data.continuation_tokens=16 train.recompute=true
  expect 2 'a prepared corpus has no questions' "$precis" train run.dir=lm2 train.steps=2 "${small[@]}" data.train=corpus
  expect 2 'a stage cannot mix' "$precis" train run.dir=lm2 train.steps=2 "${small[@]}" data.train=corpus,train.jsonl
  expect 0 '"sum_bytes"' "$precis" train --dry-run "${small[@]:0:${#small[@]}-1}"
  expect 0 '"matrix_peak_operations_per_second_here"' "$precis" train --dry-run "${small[@]:0:${#small[@]}-1}"
  # A read-only folder (as nobody, since root may write anywhere): an error, the checkpoint is unchanged.
  chmod 755 "$work" && cp -r run locked && chmod -R a+rX . && chmod -R a-w locked
  nobody=()
  [ "$(id -u)" -ne 0 ] || nobody=(setpriv --reuid=65534 --regid=65534 --clear-groups)
  if "${nobody[@]}" test -r "$model" -a -x "$precis" 2>/dev/null; then
    expect 2 'ermission denied' "${nobody[@]}" "$precis" train run.dir=locked train.steps=6 "${small[@]}"
    checks=$((checks + 1))
    diff -r run locked >/dev/null || { echo "FAIL: a read-only folder has changed"; failures=$((failures + 1)); }
  else
    echo "skipped: the read-only folder (user nobody cannot run the program here)"
  fi
  expect 0 'em_percent' "$precis" eval model.path="$model" data.eval=eval.jsonl eval.limit=4 eval.compressors=run run.dir=report --json
  for file in report.json report.md predictions/pic-4.json predictions/full.json predictions/none.json predictions/truncate-4.json; do
    [ -s "report/$file" ] || { echo "FAIL: report/$file is missing"; failures=$((failures + 1)); }
  done
  expect 1 'below its target' "$precis" eval model.path="$model" data.eval=eval.jsonl eval.limit=2 eval.compressors=run eval.references= eval.target_em=100 run.dir=report2
  expect 2 'no trained compressor' "$precis" eval model.path="$model" data.eval=eval.jsonl eval.compressors=nowhere run.dir=report3
  # Memory files: written, resumed, rejected, and read by a new process with the same generated tokens.
  # same FILE FILE WHAT: checks that both files have the same bytes.
  same() {
    checks=$((checks + 1))
    cmp -s "$1" "$2" || { echo "FAIL: $3: $(head -c 300 "$1") | $(head -c 300 "$2")"; failures=$((failures + 1)); }
  }
  quietly() { "$precis" --quiet "$@" 2>>quietly.log; }
  printf 'Ulonia Company sells tea. It was founded by Ivy Zanewick in 1813. Its head office is in Denver.' > a.txt
  printf 'The mayor of Noraburg is Erika Calerman. Noraburg lies on the river Kessel.' > b.txt
  expect 0 'tokens in' "$precis" compress --compressor run --text a.txt --out a.safetensors
  quietly compress --compressor run --text - --out a2.safetensors < a.txt >/dev/null
  same a.safetensors a2.safetensors "the same text gives the same memory file"
  quietly compress --compressor run --text b.txt --out b.safetensors >/dev/null
  expect 0 '"kind": "memory file"' "$precis" inspect a.safetensors
  expect 0 '"relative_storage_error"' "$precis" compress --compressor run --text a.txt --out a32.safetensors --store float32 --json
  quietly generate --compressor run --text a.txt --prompt " It sells" --max-new-tokens 12 > now.txt
  quietly generate --compressor run --memory a.safetensors --prompt " It sells" --max-new-tokens 12 > later.txt
  same now.txt later.txt "generation from a file equals generation right after compression"
  quietly generate --compressor run --memory a.safetensors --memory b.safetensors --prompt " It sells" --max-new-tokens 12 > ab.txt
  quietly generate --compressor run --text a.txt --text b.txt --prompt " It sells" --max-new-tokens 12 > ab_now.txt
  same ab.txt ab_now.txt "two memories in order"
  quietly generate --compressor run --memory b.safetensors --memory a.safetensors --each --prompt " It sells" --max-new-tokens 12 --json > each.txt
  [ "$(wc -l < each.txt)" = 2 ] && grep -q '"memory":"a.safetensors"' each.txt || { echo "FAIL: --each: $(cat each.txt)"; failures=$((failures + 1)); }
  quietly generate --compressor run --memory a.safetensors --prompt " It sells" --temperature 1 --top-p 0.9 --top-k 50 --seed 3 > s1.txt
  quietly generate --compressor run --memory a.safetensors --prompt " It sells" --temperature 1 --top-p 0.9 --top-k 50 --seed 3 > s2.txt
  same s1.txt s2.txt "sampling is seeded"
  stop="$(head -c 12 now.txt | tail -c 4)"
  quietly generate --compressor run --memory a.safetensors --prompt " It sells" --max-new-tokens 12 --stop "$stop" > stopped.txt
  grep -qF -e "$stop" stopped.txt && { echo "FAIL: the stop text is shown: $(cat stopped.txt)"; failures=$((failures + 1)); }
  expect 0 '' "$precis" generate --compressor run --memory a.safetensors --question "What does it sell?"
  expect 0 'tokens in' "$precis" compress --compressor run --append a.safetensors --text b.txt --out ab.safetensors
  expect 0 '"text"' "$precis" generate --compressor run --memory ab.safetensors --prompt " It" --json --max-new-tokens 2
  printf '{"id": "x", "text": "one text"}\n{"id": "y/z", "text": "another text"}\n' > documents.jsonl
  expect 0 '2 compressed, 0 already done' "$precis" compress --compressor run --jsonl documents.jsonl --out memories
  rm memories/x.safetensors
  expect 0 '1 compressed, 1 already done' "$precis" compress --compressor run --jsonl documents.jsonl --out memories
  printf 'torn' > memories/x.safetensors
  expect 0 '1 compressed, 1 already done' "$precis" compress --compressor run --jsonl documents.jsonl --out memories
  printf '{"id": "x", "text": "one text"}\n{"id": "x", "text": "again"}\n' > twice.jsonl
  expect 2 'duplicate document id' "$precis" compress --compressor run --jsonl twice.jsonl --out memories
  printf '{"id": "x"}\n' > none.jsonl
  expect 2 'none.jsonl line 1' "$precis" compress --compressor run --jsonl none.jsonl --out memories
  printf ' ' > blank.txt
  expect 2 'empty text' "$precis" compress --compressor run --text blank.txt --out x.safetensors
  expect 2 'either --text or --jsonl' "$precis" compress --compressor run --out x.safetensors
  expect 2 'either --prompt or --question' "$precis" generate --compressor run --memory a.safetensors
  expect 2 'not a memory file' "$precis" generate --compressor run --memory run/compressor/compressor.safetensors --prompt x
  head -c 3000 a.safetensors > short.safetensors
  expect 2 'short.safetensors' "$precis" generate --compressor run --memory short.safetensors --prompt x
  expect 0 '"steps":1' "$precis" train run.dir=other train.steps=1 run.seed=2 "${small[@]}"
  expect 2 'another trained compressor' "$precis" generate --compressor other --memory a.safetensors --prompt x
  expect 2 'longer than the decoder' "$precis" generate --compressor run --memory a.safetensors --prompt x --max-new-tokens 1000000
  # Other projects' checkpoints: export and import give the same memory; ambiguous checkpoints are errors.
  icae=(model.path="$model" data.train=train.jsonl compressor.method=icae compressor.slots=8 compressor.segment_length=64 compressor.lora.rank=2 train.batch=2 train.steps=1 --json)
  expect 0 '"steps":1' "$precis" train run.dir=icae "${icae[@]}"
  expect 0 'theirs' "$precis" export icae --to comprexit --out theirs
  expect 2 'already exists' "$precis" export icae --to comprexit --out theirs
  expect 0 'icae at 8x' "$precis" import theirs --from comprexit --out back --model "$model"
  quietly compress --compressor icae --text a.txt --out i1.safetensors >/dev/null
  quietly compress --compressor back --text a.txt --out i2.safetensors --json > i2.txt
  quietly generate --compressor icae --memory i1.safetensors --prompt " It" --max-new-tokens 8 > i1.answer
  quietly generate --compressor back --memory i2.safetensors --prompt " It" --max-new-tokens 8 > i2.answer
  same i1.answer i2.answer "an exported and imported compressor"
  expect 0 'again' "$precis" export back --to comprexit --out again
  same theirs/model.safetensors again/model.safetensors "tensors after a round trip"
  same theirs/config.json again/config.json "fields after a round trip"
  expect 0 'adapter' "$precis" export icae --to peft --out adapter
  expect 0 'pic at 4x' "$precis" import adapter --from peft --out adapted --model "$model" compressor.method=pic
  printf '{"compressor": {"method": "icae", "segment_length": 64, "slots": 8}}' > around.json
  expect 0 "icae at 4x" "$precis" import adapter --from peft --config around.json --out adapted2 --model "$model"
  mkdir adapter_as_model && cp adapter/adapter_model.safetensors adapter_as_model/model.safetensors && echo '{}' > adapter_as_model/config.json
  expect 2 'no compressor of the ComprExIT repository' "$precis" import adapter_as_model --from comprexit --out x --model "$model"
  expect 2 'no such compressor' "$precis" export run --to comprexit --out x
  expect 0 '"median_s"' "$precis" bench model.path="$model" bench.jobs=compress,gate bench.methods=sac bench.batch=1 bench.context=32 bench.repeat=1 bench.warmup=0
  expect 0 'matrix_peak_percent' "$precis" bench model.path="$model" bench.jobs=e2e_qa bench.methods=sac bench.batch=1 bench.context=32 bench.questions=2 bench.repeat=1 bench.warmup=0 --trace traces
  expect 0 'traceEvents' head -c 20000 traces/e2e_qa-sac-1x32-4x-bfloat16.json
  # A new run that starts from trained tensors, and a plan.
  expect 0 'starting from run' "$precis" train run.dir=further train.steps=1 train.start_from=run "${small[@]}"
  expect 0 '"trained_parameters"' "$precis" train --dry-run "${small[@]:0:${#small[@]}-1}"

  # Two processes under torchrun, if it is installed.
  if [ -x "$root/.venv/bin/torchrun" ]; then
    expect 0 '"steps":2' "$root/.venv/bin/torchrun" --nproc-per-node 2 --no-python "${precis%precis}precis-train" run.dir=two train.steps=2 "${small[@]}"
    expect 0 '"finished": true' "$precis" inspect two
  fi
  # Disk full during a save: a resource error, the previous checkpoint is intact, and the run resumes from it.
  expect 0 '"steps":2' "$precis" train run.dir=full train.steps=2 "${small[@]}"
  expect 3 'File too large' bash -c 'trap "" XFSZ; ulimit -f 1000; exec "$0" "$@"' "$precis" train run.dir=full train.steps=4 "${small[@]}"
  [ "$(ls -A full/checkpoints)" = step-000002 ] || { echo "FAIL: after a full disk: $(ls -A full/checkpoints)"; failures=$((failures + 1)); }
  expect 0 'resuming from step 2' "$precis" train run.dir=full train.steps=4 "${small[@]}"
  # An interrupted run saves and exits with 130.
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

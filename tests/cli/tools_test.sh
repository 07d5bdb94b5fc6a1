#!/usr/bin/env bash
# Around the small decoder: what follows a training run (TensorBoard event files, scripts/to_wandb.py,
# scripts/plot_runs.py), asking a text, a compressor exported alone, and the commands methods, configs and doctor.
precis="$(realpath "$1")" root="$(realpath "$2")"
source "$(dirname "${BASH_SOURCE[0]}")/checks.sh"
python="$root/.venv/bin/python"
[ -x "$python" ] || python=python3

"$precis" --quiet synth --out train.jsonl --count 20 --seed 1 --split train
"$precis" --quiet synth --out eval.jsonl --count 2 --seed 1 --split eval
settings=(model.path="$root/assets/small-decoder" data.train=train.jsonl data.eval=eval.jsonl data.answer_end=newline
  compressor.method=sac compressor.lora.rank=2 train.batch=2 train.log_interval=1 train.save_interval=2
  train.eval_limit=2 train.eval_interval=2 run.dir=run run.tensorboard=true)
export OMP_NUM_THREADS=1
that "a run with run.tensorboard=true" "$precis" --quiet train "${settings[@]}" train.steps=4 train.max_seconds=0
that "a longer run resumes" "$precis" --quiet train "${settings[@]}" train.steps=6

# Steps, tags and values of the event files, by the tensorboard package or, without it, by the format itself.
cat > read_events.py <<'END'
import glob, json, struct, sys
files = sorted(glob.glob("run/tensorboard/events.out.tfevents.*"))
assert len(files) == 2, files
try:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
except ImportError:
    print("tensorboard is not installed: records are checked by their lengths alone")
    for path in files:
        data, at, records = open(path, "rb").read(), 0, 0
        while at < len(data):
            (length,) = struct.unpack_from("<Q", data, at)
            at, records = at + 16 + length, records + 1
        assert at == len(data) and records > 10, (path, at, records)
    assert b"brain.Event:2" in data and b"train/loss" in data and b"eval/em_percent" in data
    sys.exit()
events = EventAccumulator("run/tensorboard", size_guidance={"scalars": 0, "tensors": 0})
events.Reload()
loss = {e.step: e.value for e in events.Scalars("train/loss")}
lines = [json.loads(line) for line in open("run/metrics.jsonl")]
wanted = {line["step"]: line["loss"] for line in lines if line["event"] == "step"}
assert loss.keys() == wanted.keys() == {1, 2, 3, 4, 5, 6}, loss
assert all(abs(loss[step] - wanted[step]) < 1e-5 for step in loss), (loss, wanted)
assert [e.step for e in events.Scalars("eval/em_percent")] == [2, 4, 6]
text = events.Tensors("config")[-1].tensor_proto.string_val[0].decode()
assert '"tensorboard": true' in text, text
print("read by tensorboard")
END
that "event files can be read" "$python" read_events.py

# W&B: a stand-in for the package records what it is given.
mkdir fake
cat > fake/wandb.py <<'END'
import json, os
def init(**given):
    print(json.dumps(given, default=str), file=open("init.jsonl", "a"))
    return Run()
class Run:
    id = "run-id"
    def log(self, values, step): print(json.dumps([step, values]), file=open("log.jsonl", "a"))
    def finish(self): pass
END
that "to_wandb.py sends a run" env PYTHONPATH=fake "$python" "$root/scripts/to_wandb.py" run --project mine
that "to_wandb.py sends nothing twice" env PYTHONPATH=fake "$python" "$root/scripts/to_wandb.py" run --once
expect 0 '^9$' bash -c 'wc -l < log.jsonl' # six steps, three evaluations
that 'scores are sent' grep -q eval/em_percent log.jsonl
expect 0 '"id": "run-id".*"resume": "allow"' tail -n 1 init.jsonl
expect 1 'config.json: no such file' "$python" "$root/scripts/to_wandb.py" nothing

if "$python" -c 'import matplotlib' 2> /dev/null; then
  cp -r run other
  head -c -20 other/metrics.jsonl > cut && mv cut other/metrics.jsonl
  expect 0 'left out, an incomplete line' "$python" "$root/scripts/plot_runs.py" run other --out runs.html
  that 'the page has scores' grep -q 'exact match' runs.html
  expect 1 'nothing/metrics.jsonl: no such file' "$python" "$root/scripts/plot_runs.py" nothing
else
  echo "matplotlib is not installed: scripts/plot_runs.py is not tested"
fi

# Asking a text, by the run and by its compressor alone.
expect 0 '^alone$' "$precis" --quiet export run --to precis --store bfloat16 --out alone
expect 2 'already exists' "$precis" export run --to precis --out alone
that "a compressor alone has no training files" test "$(ls alone | tr '\n' ' ')" = "compressor.json compressor.safetensors config.json "
that "its data is not named" bash -c '! grep -q train.jsonl alone/config.json'
"$precis" --quiet export run --to precis --out exact
printf 'Ulonia Company sells tea. It was founded by Ivy Zanewick in 1813. Its head office is in Denver.\n' > text.txt
for compressor in run exact; do
  "$precis" --quiet ask --compressor $compressor --text text.txt --question "Who founded Ulonia Company?" \
    --max-new-tokens 8 --json > $compressor.jsonl
  sed 's/"[a-z_]*seconds":[0-9.e-]*//g' $compressor.jsonl > $compressor.answers
done
that "the compressor alone answers as its run does" cmp -s run.answers exact.answers
"$precis" --quiet generate --compressor run --text text.txt --question "Who founded Ulonia Company?" --max-new-tokens 8 \
  --json | "$python" -c 'import json, sys; print(json.load(sys.stdin)["text"])' > generated
"$python" -c 'import json; print(json.loads(open("run.jsonl").readlines()[1])["memory"]["text"])' > asked
that "ask and generate agree" cmp -s generated asked
expect 0 'full context .* rows' "$precis" --quiet ask --compressor alone --text text.txt --full --question "Who?" --max-new-tokens 4
expect 0 'tokens -> .* entries' "$precis" --quiet ask --compressor alone --text text.txt --question "Who?" --max-new-tokens 4
expect 0 '^What?$' bash -c "printf 'Who?\n\nWhat?\n' | '$precis' --quiet ask --compressor alone --text text.txt --max-new-tokens 4"
expect 2 'no question' "$precis" ask --compressor alone --text -
: > empty.txt
expect 2 'the text is empty' "$precis" ask --compressor alone --text empty.txt --question "Who?"
cp -r alone broken && rm broken/config.json
expect 2 'does not name its base model' "$precis" ask --compressor broken --text text.txt --question "Who?"

# Memories made elsewhere: a folder of memory files answers as the compressor that made them does.
for method in pic 500x; do
  "$precis" --quiet train "${settings[@]}" compressor.method=$method train.steps=2 run.dir=$method > /dev/null
  "$precis" --quiet compress --compressor $method --jsonl eval.jsonl --text-field context --out $method-memories > /dev/null
  that "eval --memories with $method" "$precis" --quiet eval "${settings[@]}" compressor.method=$method eval.compressors=$method \
    --memories $method-memories eval.references=none run.dir=$method-report
  that "$method: stored memories answer as the compressor" cmp -s $method-report/predictions/$method-4.json \
    "$method-report/predictions/$method-4-$method-memories.json"
done
evaluate=("$precis" --quiet eval "${settings[@]}" eval.references=none run.dir=missing-report)
expect 2 'no such folder' "${evaluate[@]}" --memories nowhere
mkdir empty
expect 2 'no memory files' "${evaluate[@]}" eval.memories=empty
cp 500x-memories/*.safetensors empty/ && cp "$(ls pic-memories/*.safetensors | head -n 1)" empty/0.safetensors
expect 2 'another method' "${evaluate[@]}" eval.memories=empty
mkdir one && cp "$(ls pic-memories/*.safetensors | head -n 1)" one/
expect 1 'no memory of a context of .* tokens' "${evaluate[@]}" eval.memories=one

# Finding the way. Every command has an example, and its options are ones that the command has.
for command in $("$precis" --help | sed -n 's/^  \([a-z][a-z-]*\)  .*/\1/p'); do
  "$precis" $command --help > help.txt
  that "$command --help has an example" grep -q "^ *.*precis $command" help.txt
  for option in $(sed -n '/^Examples:/,$p' help.txt | grep -o -e ' --[a-z-]*'); do
    that "$command has $option of its example" bash -c "sed '/^Examples:/,\$d' help.txt | grep -q -e '$option'"
  done
done
expect 0 '=64' "$precis" generate --help
expect 0 'sac .*anchor' "$precis" methods
expect 0 'compressor.sac.attention .*"full"' "$precis" methods sac
expect 0 'compressor.mask.preset .*"pic-local" .*"pic"' "$precis" methods pic
expect 2 'did you mean comprexit' "$precis" methods comprexitt
expect 0 '"method":"icae"' "$precis" methods icae --json
expect 0 'quickstart/sac ' "$precis" configs
expect 0 '"method": "sac"' "$precis" configs show quickstart/sac
expect 2 'did you mean quickstart/sac' "$precis" configs show quickstart/sacc
expect 2 'no configuration named' "$precis" configs copy
expect 0 'configs/quickstart/common.json' "$precis" configs copy quickstart/sac --to copy
expect 2 'exists already' "$precis" configs copy quickstart/sac --to copy
expect 0 '"rank": 32' "$precis" train --config copy/configs/quickstart/sac.json --print-config
expect 0 'configs/squad/common.json' "$precis" configs copy squad/sac.json --to other-copy
expect 0 'matrix products' "$precis" doctor
expect 0 '"key":"memory"' "$precis" doctor --json
printf '{"$schema": "precis.schema.json", "train": {"lr": 0.25}}' > schema.json
expect 0 '"lr": 0.25' "$precis" train --config schema.json --print-config

echo "$checks checks, $failures failures"
[ "$failures" -eq 0 ]

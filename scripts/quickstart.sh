#!/usr/bin/env bash
# Installs and builds, then two things:
# 1. Asks a text through a memory of a quarter its size, with a trained compressor that is part of the repository, beside
#    the same questions to the whole text.
# 2. On a real model: trains PIC, its unchunked baseline (ICAE) and SAC at 4x for equal time on generated passages, then
#    answers held-out questions from their memories and, for reference, from full, no and truncated context.
#   scripts/quickstart.sh [--demo] [--seed N] [--seconds N]     (defaults: seed 1, 180 s of training each)
#   --demo: only the first
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"

seed=1
seconds=180
demo_only=
while [ $# -gt 0 ]; do
  case "$1" in
    --demo) demo_only=1; shift ;;
    --seed) seed="$2"; shift 2 ;;
    --seconds) seconds="$2"; shift 2 ;;
    *) echo "usage: scripts/quickstart.sh [--demo] [--seed N] [--seconds N]" >&2; exit 2 ;;
  esac
done

scripts/setup.sh
build_release precis_program
scripts/fetch_smollm2.sh
precis=build/release/bin/precis
data=runs/quickstart/data
runs=runs/quickstart/seed-$seed

say "A text as a memory of a quarter its size, and questions to both: a small decoder, and a compressor trained for such texts"
"$precis" --quiet ask --compressor assets/small-comprexit-4x --text assets/demo/company.txt --full \
  --question "What does Ulonia Company sell?" \
  --question "What colour are the vans of Ulonia Company?" \
  --question "Who is the director of Ulonia Company?"
cat >&2 <<END

The same on a page of real text around SmolLM2-135M, by a compressor that was trained for 500 steps only and is often wrong:
  $precis ask --compressor assets/smollm2-sac-4x --text assets/demo/eddystone.txt --full
END
[ -z "$demo_only" ] || exit 0

mkdir -p "$data"
say "Step 1 of 3: generating passages with 3 questions each; training and evaluation share no invented name"
[ -f "$data/train.jsonl" ] || "$precis" synth --out "$data/train.jsonl" --count 6000 --seed 1 --split train
[ -f "$data/eval.jsonl" ] || "$precis" synth --out "$data/eval.jsonl" --count 100 --seed 1 --split eval

say "Step 2 of 3: training PIC, its unchunked baseline (icae) and SAC at 4x, $seconds s each (about $((3 * seconds / 60 + 2)) minutes in total)"
for method in pic icae sac; do
  "$precis" train --config "configs/quickstart/$method.json" "run.dir=$runs/$method" "run.seed=$seed" "train.max_seconds=$seconds"
done

say "Step 3 of 3: answering 300 held-out questions from memory and from text (about 2 minutes)"
"$precis" eval --config configs/quickstart/eval.json "eval.compressors=$runs/pic,$runs/icae,$runs/sac" "run.dir=$runs/report"
sed -n '/^## Learning curves/,$p' "$runs/report/report.md"

cat >&2 <<END

The report, with all answers, is in $runs/report. What to try next:
  $precis train --config configs/smollm2/pic-embedding.json     the other carrier: soft-prompt rows (learns slowly)
  $precis train --config configs/smollm2/sac-16x.json           another compression ratio
  $precis train --config configs/squad/sac.json data.train=YOUR.jsonl.gz data.eval=dev-v1.1.json
END

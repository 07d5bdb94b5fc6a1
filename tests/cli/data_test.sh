#!/usr/bin/env bash
# The data sets, benchmarks and reports of docs/data.md: each of its commands runs, on small files and lengths.
#   data_test.sh PRECIS PROJECT
precis="$(realpath "$1")" root="$(realpath "$2")"
source "$(dirname "${BASH_SOURCE[0]}")/checks.sh"
export OMP_NUM_THREADS=1
model="$root/assets/small-decoder"
cp -r "$root/configs" configs && cp -r "$root/scripts" scripts
python=""
for candidate in "$root/.venv/bin/python" python3; do
  "$candidate" -c 'import pyarrow' 2>/dev/null && python="$candidate" && break
done

# What the page's commands read.
printf 'title,text,query,gold\nFinal,Denver won.,Who won?,Denver\n' > games.csv
printf '{"games-2": "denver", "1": "Denver", "2": ""}' > predictions.json
printf '{"context": "Denver won.", "question": "Who won?", "answers": "Denver", "id": 1}\n{"context":\n' > broken.jsonl
printf '{"data": [{"paragraphs": [{"context": "Denver won.", "qas": [{"id": "1", "question": "Who won?", "answers": [{"text": "Denver"}]}, {"id": "2", "question": "Who lost?", "answers": [], "is_impossible": true}]}]}]}' > dev-v1.1.json
mkdir -p data/pwc data/longbench
printf '{"input": "Denver won.", "prompt": "Who won?", "answer": "It was Denver."}\n' > data/pwc/PwC_test.jsonl
printf '{"input": "Who won?", "context": "Denver won.", "answers": ["Denver"], "length": 2, "dataset": "qasper", "language": "en", "all_classes": null, "_id": "a"}\n' > data/longbench/qasper.jsonl
expect 0 'contexts' "$precis" synth --out eval.jsonl --count 4 --seed 1 --split eval
for report in first second; do
  expect 0 'em_percent' "$precis" eval model.path="$model" data.eval=eval.jsonl eval.references=full,none,truncate eval.limit=$([ $report = first ] && echo 12 || echo 9) eval.bootstrap_samples=50 run.dir=reports/$report
done
if [ -n "$python" ]; then
  "$python" - <<'END'
import os, pyarrow as pa, pyarrow.parquet as pq
os.makedirs("hub-folder/data")
for split, rows in (("train", 3), ("test", 1)):
    table = pa.table({"id": list(range(rows)), "context": ["Denver won."] * rows, "question": ["Who won?"] * rows,
                      "answers": [{"text": ["Denver"], "answer_start": [0]}] * rows, "score": [float("nan")] * rows})
    pq.write_table(table, f"hub-folder/data/{split}-00000-of-00001.parquet")
    os.makedirs(f"saved/{split}")
    with pa.OSFile(f"saved/{split}/data-00000-of-00001.arrow", "wb") as sink, pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
END
fi

# Every command of the page. Generated contexts are short here, since a test has seconds.
precis() { "$precis" "$@"; }
commands=0
while IFS= read -r line; do
  case "$line" in
  precis\ *) ;;
  scripts/*)
    if [ -z "$python" ]; then
      echo "skipped: $line (pyarrow is missing)"
      continue
    fi
    line="'$python' $line" ;;
  *) continue ;;
  esac
  line="${line//MODEL/$model}"
  line="$(sed -e 's/4096,8192/150,250/; s/--count 20/--count 1/' <<<"$line")"
  case "$line" in *\ synth\ --kind\ cwe*) line="${line/150,250/400,500}" ;; *synth\ --kind\ qa*) line="${line/150,250/600,900}" ;; esac
  commands=$((commands + 1))
  expect 0 '' eval "$line"
done < <(sed -n '/^```$/,/^```$/p' "$root/docs/data.md")
that "the page has $commands commands" test $commands -ge 14

# What they say.
expect 0 '"exact_match":100.0,"f1":100.0' "$precis" score games.csv predictions.json 'data.fields.context={title}: {text}' data.fields.question=query data.fields.answers=gold
expect 2 'games.csv line 2 (data.fields.question)' "$precis" score games.csv predictions.json data.fields.context=text
expect 2 'broken.jsonl line 2' "$precis" score broken.jsonl predictions.json
expect 0 '1 rows left out (data.skip_bad): line 2' "$precis" score broken.jsonl predictions.json data.skip_bad=true
expect 0 '"answerable":{"exact_match":100.0' "$precis" score dev-v1.1.json predictions.json
expect 0 '"bleu_4":.*"missing":0' "$precis" score dev-v1.1.json predictions.json --metric bleu
expect 2 'not in' "$precis" score dev-v1.1.json predictions.json --metric meteor
printf '{"id": "7", "context": "c", "question": "q", "answers": "a"}\n{"id": "7", "context": "d", "question": "q", "answers": "b"}\n' > twice.jsonl
printf '{"7": "a", "7~2": "b"}' > twice.json
expect 0 '"exact_match":100.0.*"missing":0' "$precis" score twice.jsonl twice.json
expect 0 '"items":9' "$precis" compare reports/first reports/second --row full --measure em_percent --json
expect 0 'in one report only' "$precis" compare reports/first reports/second --row full
expect 0 'begin{tabular}' "$precis" compare reports/first reports/second --format latex
expect 0 'report,row,against_report' "$precis" compare reports/first reports/second --format csv
expect 2 'two folders' "$precis" compare reports/first
expect 2 'nothing to compare' "$precis" compare reports/first reports/second --row nothing
expect 0 'match_all_percent by length and depth: full' cat reports/niah/report.md
expect 0 'full,qa,,match_all_percent,' cat reports/niah/report.csv
expect 0 'f1_percent \[95 %\]' cat reports/qasper/report.md
expect 0 'by set' "$precis" eval model.path="$model" data.eval=eval.jsonl,niah.jsonl data.train=eval.jsonl eval.references=full eval.limit=14 eval.max_context_tokens=64 run.dir=reports/sets
expect 0 'mean in domain | mean out of domain | mean all' cat reports/sets/report.md
if [ -n "$python" ]; then
  expect 0 '^3$' sh -c 'wc -l < train.jsonl'
  expect 0 '"score": null' cat train.jsonl
  expect 0 '"questions":3' "$precis" score train.jsonl predictions.json
  expect 1 'several splits: test, train' "$python" scripts/from_hf.py hub-folder --out x.jsonl
  expect 0 'test.jsonl.gz: 1 rows' "$python" scripts/from_hf.py saved --split test --columns context,question,answers --out test.jsonl.gz
  expect 0 '"questions":1' "$precis" score test.jsonl.gz predictions.json
  expect 1 'no column nothing; found: id, context' "$python" scripts/from_hf.py hub-folder --split train --columns nothing --out x.jsonl
  expect 1 'no .parquet or .arrow' "$python" scripts/from_hf.py configs --out x.jsonl
  that "a failed conversion leaves no file: $(ls x.jsonl* 2>/dev/null)" test -z "$(ls x.jsonl* 2>/dev/null)"
fi

echo "$checks checks, $failures failures"
[ "$failures" -eq 0 ]

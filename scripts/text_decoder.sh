#!/usr/bin/env bash
# Reproduces assets/text-decoder: a tokenizer and a decoder of about 5 M parameters, trained on text, and the prepared
# corpora for training and evaluation in its sweeps. Resumes if interrupted.
#   scripts/text_decoder.sh BOOKS [OUT]     BOOKS: a folder with one folder of Markdown or text files per author
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"

books="$1"
out="${2:-runs/text/decoder}"
precis=build/release/bin/precis
[ -x "$precis" ] || build_release
mkdir -p runs/text
[ -f runs/text/tokenizer/tokenizer.model ] ||
  "$precis" train-tokenizer "$books" --vocabulary 4096 --out runs/text/tokenizer
# Authors from W on are held out.
"$precis" prepare "$books/[A-V]*" --tokenizer runs/text/tokenizer --out runs/text/corpus
"$precis" prepare "$books/W*" --tokenizer runs/text/tokenizer --out runs/text/held-out
"$precis" pretrain --out "$out" --hidden 256 --layers 5 --heads 8 --kv-heads 4 --intermediate 688 \
  --corpus runs/text/corpus --held-out runs/text/held-out --tokenizer runs/text/tokenizer --context 256 \
  --batch 16 --steps 3000 --learning-rate 0.003 --dtype bfloat16 --seed 1 --threads 1

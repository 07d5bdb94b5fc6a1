#!/usr/bin/env bash
# The Python package's tests, with the program beside them. Skipped where Python lacks what they need: they are not part
# of the set-up (pip install './python[test]' into .venv adds it). PYTHON names another interpreter.
precis="$(realpath "$1")" root="$(realpath "$2")"
python="${PYTHON:-$root/.venv/bin/python}"
if ! "$python" -c 'import numpy, pytest, safetensors, torch, transformers, xxhash' 2> /dev/null; then
  echo "skipped: $python has no pytest, transformers, safetensors, numpy or xxhash"
  exit 77
fi
cd "$root/python" && PYTHONPATH=. PRECIS="$precis" OMP_NUM_THREADS=1 "$python" -m pytest -q -p no:cacheprovider tests

#!/usr/bin/env bash
# Runs precis-golden on the shared golden cases; skipped (77) where they are not there.
golden="$1" shared="$2" model="$3"
[ -d "$shared" ] || { echo "skipped: $shared is not here"; exit 77; }
"$golden" "$shared"/decoders/* "$shared"/compressors/*/ "$shared"/compressors/*.json | grep -v '^ok' ; status=${PIPESTATUS[0]}
[ "$status" -eq 0 ] || exit "$status"
[ -f "$model" ] || { echo "the real model's cases are left out: $model is not here"; exit 0; }
"$golden" --model "$model" "$shared"/tokenizers/*.json "$shared"/smollm2 | grep -v '^ok'; exit "${PIPESTATUS[0]}"

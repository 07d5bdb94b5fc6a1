#!/usr/bin/env bash
# Runs precis-golden on the shared golden cases; skipped (exit code 77) if they are missing.
golden="$1" shared="$2" model="$3"
[ -d "$shared" ] || { echo "skipped: $shared not found"; exit 77; }
"$golden" "$shared"/decoders/* "$shared"/compressors/*/ "$shared"/compressors/*.json | grep -v '^ok' ; status=${PIPESTATUS[0]}
[ "$status" -eq 0 ] || exit "$status"
[ -f "$model" ] || { echo "skipped: the real model's cases ($model not found)"; exit 0; }
"$golden" --model "$model" "$shared"/tokenizers/*.json "$shared"/smollm2 | grep -v '^ok'; exit "${PIPESTATUS[0]}"

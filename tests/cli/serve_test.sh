#!/usr/bin/env bash
# The server as a process, asked with curl: killed, started again, ended by a signal; and with OpenAI's client where
# Python has it.
#   serve_test.sh PRECIS PROJECT
precis="$(realpath "$1")" root="$(realpath "$2")"
source "$(dirname "${BASH_SOURCE[0]}")/checks.sh"
command -v curl > /dev/null || { echo "skipped: curl not found"; exit 77; }
export OMP_NUM_THREADS=1

"$precis" --quiet synth --out train.jsonl --count 20 --seed 1
"$precis" --quiet train run.dir=run train.steps=2 model.path="$root/assets/small-decoder" data.train=train.jsonl compressor.method=sac \
  compressor.segment_length=64 compressor.lora.rank=2 train.batch=1 > /dev/null

start() {  # sets $server and $url
  "$precis" serve --compressor run --memories memories --port 0 "$@" 2> log &
  server=$!
  for _ in $(seq 200); do
    url="$(sed -n 's/.*listening on \(http.*\)/\1/p' log)"
    [ -n "$url" ] && return
    kill -0 "$server" 2> /dev/null || break
    sleep 0.1
  done
  echo "FAIL: the server does not start"
  cat log
  exit 1
}
post() { curl -s -m 60 -w '\n%{http_code}' -H 'Content-Type: application/json' "$url$1" -d "$2"; }
question() { printf '{"model": "run", "memories": ["%s"], "temperature": 0, "max_tokens": 8, "messages": [{"role": "user", "content": "Where?"}]}' "$1"; }

start
expect 0 '201' post /v1/memories '{"text": "Ulonia Company sells tea."}'
id="$(post /v1/memories '{"text": "Ulonia Company sells tea."}' | sed -n 's/.*"id":"\([^"]*\)".*/\1/p')"
content() { python3 -c 'import json, sys; print(json.loads(sys.stdin.readline())["choices"][0]["message"]["content"])'; }
answer="$(post /v1/chat/completions "$(question "$id")" | content)"
printf 'Ulonia Company sells tea.' > text.txt
that "the answer is that of precis generate" test "$answer" = \
  "$("$precis" --quiet generate --compressor run --text text.txt --question 'Where?' --max-new-tokens 8 2> /dev/null)"
expect 0 'data: \[DONE\]' post /v1/completions "{\"prompt\": \"It sells\", \"memories\": [\"$id\"], \"stream\": true}"
expect 0 'precis_requests_total{endpoint="chat",status="200"} 1' curl -s "$url/metrics"
expect 0 '<textarea' curl -s "$url/"
expect 2 'in use' timeout 60 "$precis" serve --compressor run --memories memories --port 0
expect 3 'cannot listen' timeout 60 "$precis" serve --compressor run --memories elsewhere --port "${url##*:}"

# kill -9: the next start has the memory.
kill -9 "$server"
wait "$server" 2> /dev/null
start
that "the answer is the same after a kill" test "$(post /v1/chat/completions "$(question "$id")" | content)" = "$answer"

# A client that sends half a request, and one that reads nothing, hold up nobody.
exec 3<> "/dev/tcp/127.0.0.1/${url##*:}"
printf 'POST /v1/memories HTTP/1.1\r\nContent-Length: 1000\r\n\r\n{' >&3
expect 0 '200' post /v1/chat/completions "$(question "$id")"
exec 3>&-

# A prompt longer than the context window is refused; curl's default content type gets a hint.
printf '{"prompt": "%s", "text": "%s"}' "$(printf 'tea %.0s' $(seq 5000))" "$(printf 'tea %.0s' $(seq 100))" > large.json
large() { curl -s -m 120 -H 'Content-Type: application/json' "$url$1" -d @large.json; }
expect 0 'context_length_exceeded' large /v1/completions
expect 0 '"source_tokens":' large /v1/memories
expect 0 'Content-Type: application/json' curl -s -m 60 "$url/v1/completions" -d @large.json

# OpenAI's client.
if python3 -c 'import openai' 2> /dev/null; then
  expect 0 "^all right" python3 "$root/tests/cli/openai_client.py" "$url/v1" "$id" "$answer"
else
  echo "not run: OpenAI's client (pip install openai)"
fi

kill -TERM "$server"
wait "$server"
that "a signal ends the server with code 0" test $? -eq 0

echo "$checks checks, $failures failures"
[ "$failures" -eq 0 ]

#!/usr/bin/env python3
"""Time to the first token of a question to a stored memory, beside the same question with its text in full.

Both are asked of one precis server, in turns; the memory is made before the clock runs.
  scripts/first_token.py http://127.0.0.1:8080 page.txt --tokens 1024
"""
import argparse
import http.client
import json
import statistics
import time
import urllib.parse

parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("url")
parser.add_argument("text", help="text file; its beginning is read")
parser.add_argument("--tokens", type=int, default=1024, help="length of the text, at least")
parser.add_argument("--question", default="Who speaks?")
parser.add_argument("--repeat", type=int, default=7)
options = parser.parse_args()
address = urllib.parse.urlparse(options.url)


def post(path, body):
    connection = http.client.HTTPConnection(address.hostname, address.port, timeout=600)
    connection.request("POST", path, json.dumps(body), {"Content-Type": "application/json"})
    response = connection.getresponse()
    if response.status >= 400:
        raise SystemExit(response.read().decode())
    return response


def seconds_to_first_token(**source):
    start = time.monotonic()
    for line in post("/v1/chat/completions", {"stream": True, "max_tokens": 4, "temperature": 0, **source,
                                              "messages": [{"role": "user", "content": options.question}]}):
        choices = json.loads(line[6:])["choices"] if line.startswith(b"data: {") else []
        if choices and (choices[0]["delta"].get("content") or choices[0]["finish_reason"]):  # an answer may be empty
            return time.monotonic() - start
    raise SystemExit("no answer")


words = open(options.text, encoding="utf-8").read().split()
count = options.tokens // 2
while True:
    text = " ".join(words[:count])
    memory = json.load(post("/v1/memories", {"text": text}))
    missing = options.tokens - memory["source_tokens"]
    if missing <= 0 or count >= len(words):
        break
    count += max(1, missing // 2)

sources = {"memory": {"memories": [memory["id"]]}, "full": {"context": text}}
for source in sources.values():
    seconds_to_first_token(**source)
times = {name: [] for name in sources}
for _ in range(options.repeat):
    for name, source in sources.items():
        times[name].append(seconds_to_first_token(**source))
ratios = [full / short for short, full in zip(times["memory"], times["full"])]
print(json.dumps({"source_tokens": memory["source_tokens"], "entries": memory["entries"],
                  "memory_seconds": round(statistics.median(times["memory"]), 4),
                  "full_seconds": round(statistics.median(times["full"]), 4),
                  "times_sooner": round(statistics.median(ratios), 2),
                  "lowest": round(min(ratios), 2), "highest": round(max(ratios), 2)}))

#!/usr/bin/env python3
"""Asks a precis server from many clients at once and checks that no answer is lost or another's.

Each client owns a text. Its greedy answer is taken once alone, then asked again and again, streamed and whole, beside
the others. Prints a line of JSON with counts and times.
  scripts/load_test.py http://127.0.0.1:8080 --clients 32 --seconds 60
"""
import argparse
import http.client
import json
import statistics
import threading
import time
import urllib.parse

parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("url")
parser.add_argument("--clients", type=int, default=32)
parser.add_argument("--seconds", type=float, default=60)
parser.add_argument("--max-tokens", type=int, default=12)
parser.add_argument("--text", default="The {name} bridge in the town of {name} was opened in 18{number:02d} by Clara {name}.")
parser.add_argument("--question", default="When was the {name} bridge opened?")
options = parser.parse_args()
address = urllib.parse.urlparse(options.url)


def connect():
    return http.client.HTTPConnection(address.hostname, address.port, timeout=300)


def post(connection, path, body):
    connection.request("POST", path, json.dumps(body), {"Content-Type": "application/json"})
    response = connection.getresponse()
    return response.status, response


def ask(connection, memory, question, stream):
    """Status, text and seconds to the first token."""
    start = time.monotonic()
    status, response = post(connection, "/v1/chat/completions", {
        "memories": [memory], "temperature": 0, "max_tokens": options.max_tokens, "stream": stream,
        "messages": [{"role": "user", "content": question}]})
    if status != 200:
        return status, response.read().decode(), None
    if not stream:
        return status, json.load(response)["choices"][0]["message"]["content"], None
    text, first = "", None
    for line in response:
        if not line.startswith(b"data: {"):
            continue
        choices = json.loads(line[6:])["choices"]
        piece = choices[0]["delta"].get("content", "") if choices else ""
        if piece and first is None:
            first = time.monotonic() - start
        text += piece
    return status, text, first


class Client(threading.Thread):
    def __init__(self, number):
        super().__init__(daemon=True)
        name = "".join(chr(97 + (number * k + k) % 26) for k in (3, 7, 11, 5)).capitalize()
        self.question = options.question.format(name=name, number=number)
        connection = connect()
        status, response = post(connection, "/v1/memories", {"text": options.text.format(name=name, number=number)})
        self.memory = json.load(response)["id"]
        assert status in (200, 201), status
        status, self.expected, _ = ask(connection, self.memory, self.question, False)
        assert status == 200, self.expected
        self.done = self.lost = self.wrong = self.busy = 0
        self.times = []

    def run(self):
        connection = connect()
        until = time.monotonic() + options.seconds
        while time.monotonic() < until:
            try:
                status, text, first = ask(connection, self.memory, self.question, self.done % 2 == 0)
            except (OSError, http.client.HTTPException):
                self.lost += 1
                connection = connect()
                continue
            if status == 429:
                self.busy += 1
                continue
            self.done += 1
            self.wrong += text != self.expected
            if first:
                self.times.append(first)


clients = [Client(i) for i in range(options.clients)]
for client in clients:
    client.start()
for client in clients:
    client.join()
total = lambda field: sum(getattr(c, field) for c in clients)
times = sorted(t for c in clients for t in c.times)
print(json.dumps({"clients": options.clients, "seconds": options.seconds, "answers": total("done"), "wrong": total("wrong"),
                  "lost": total("lost"), "refused_as_busy": total("busy"), "different_answers": len({c.expected for c in clients}),
                  "first_token_median_seconds": round(statistics.median(times), 4) if times else None,
                  "first_token_95_percent_seconds": round(times[int(0.95 * len(times))], 4) if times else None}))
raise SystemExit(total("wrong") + total("lost") > 0)

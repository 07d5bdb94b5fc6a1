#!/usr/bin/env python3
"""Joins passages of MRQA files into contexts of several documents, each with the questions of all its passages.

    scripts/join_documents.py OUT.jsonl FILE.jsonl.gz ... [--count N] [--documents 2-3] [--words 350] [--seed 1]

Passages are drawn at random without repetition, up to --words words a context, and separated by a blank line. What is
written is MRQA's format again, so that precis reads it like the files it was made from.
"""
import argparse
import gzip
import json
import random


def passages(path):
    with (gzip.open if path.endswith(".gz") else open)(path, "rt", encoding="utf-8") as lines:
        for line in lines:
            row = json.loads(line)
            if "context" in row:
                yield row


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("out")
    parser.add_argument("files", nargs="+")
    parser.add_argument("--count", type=int, default=0, help="contexts to write; 0: until the passages are used up")
    parser.add_argument("--documents", default="2-3", help="documents a context: a number or a range")
    parser.add_argument("--words", type=int, default=350, help="longest context, in words")
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    fewest, _, most = options.documents.partition("-")
    draw = random.Random(options.seed)
    rows = [row for path in options.files for row in passages(path)]
    draw.shuffle(rows)

    written = 0
    with open(options.out, "w", encoding="utf-8") as out:
        out.write(json.dumps({"header": {"dataset": "joined"}}) + "\n")
        while rows and (not options.count or written < options.count):
            wanted = draw.randint(int(fewest), int(most or fewest))
            chosen, words = [], 0
            while rows and len(chosen) < wanted and words + len(rows[-1]["context"].split()) <= options.words:
                chosen.append(rows.pop())
                words += len(chosen[-1]["context"].split())
            if not chosen:
                rows.pop()  # longer than a whole context
                continue
            if len(chosen) < int(fewest):
                continue
            questions = [
                {"qid": f"{written}-{i}-{question['qid']}", "question": question["question"],
                 "answers": question["answers"]}
                for i, row in enumerate(chosen) for question in row["qas"]]
            draw.shuffle(questions)
            out.write(json.dumps({"context": "\n\n".join(row["context"] for row in chosen), "qas": questions},
                                 ensure_ascii=False) + "\n")
            written += 1
    print(f"{options.out}: {written} contexts")


if __name__ == "__main__":
    main()

#!/usr/bin/env python3
"""Writes tests/data/scores.json: scores of public evaluation code, which tests compare with ours.

  git clone https://github.com/THUDM/LongBench
  pip install rouge==1.0.1 fuzzywuzzy==0.18.0 jieba sacrebleu==2.6.0 rouge-score==0.1.2   # and no python-Levenshtein
  python scripts/make_score_golden.py LongBench/LongBench tests/data/scores.json
"""
import json
import random
import sys

import sacrebleu

sys.path.insert(0, sys.argv[1])
import metrics as longbench  # noqa: E402


def texts(rng):
    """Pairs of a prediction and a reference: words, sentences and white space of all kinds."""
    words = "the a cat dog ran far over hill River and 7 12 don't naïve Über café is was, (not) end".split()
    sentence = lambda: " ".join(rng.choice(words) for _ in range(rng.randint(1, 14)))
    text = lambda: rng.choice([". ", ".", ".\n", " .. ", "\n"]).join(sentence() for _ in range(rng.randint(1, 6)))
    pairs = [("", "a"), ("a", ""), ("...", "a."), (" . ", "a. b"), ("same. text", "same. text"), ("a\u001cb", "a b"), ("word-\n", "word -")]
    return pairs + [(text() + rng.choice(["", ".", ". "]), text() + rng.choice(["", ".", " ."])) for _ in range(40)]


def code(rng):
    parts = ["for i in range(n):", "x[i] += 1", "return self.value", "int main() {", "// comment", "# note", "```", "",
             "auto größe = f(a, b);", "if (a == b && c != d) {", "    raise ValueError('no')"]
    line = lambda: " ".join(rng.choice(parts) for _ in range(rng.randint(1, 3)))
    pairs = [("\n".join(line() for _ in range(rng.randint(1, 4))), line()) for _ in range(30)]
    long = lambda: "".join(rng.choice("abcde ()=;") for _ in range(rng.randint(150, 420)))
    return pairs + [("\n\n" + long(), long()) for _ in range(10)] + [("# only", ""), ("x", "x"), ("x", "y")]


def main():
    rng = random.Random(1)
    classes = ["Abbreviation", "Date", "Other location", "Other number", "location", "number", "Individual", "Date range"]
    picked = lambda n: rng.choice([" ", "\n", ", "]).join(rng.choice(classes) for _ in range(n))
    numbers = lambda: " ".join(rng.choice(["Paragraph 3", "3", "12", "no", "30.", "-7", "٣"]) for _ in range(rng.randint(0, 4)))
    sets = {
        "longbench_rouge": (longbench.rouge_score, texts(rng)),
        "f1": (longbench.qa_f1_score, texts(rng)),
        "code_sim": (longbench.code_sim_score, code(rng)),
        "count": (longbench.count_score, [(numbers(), rng.choice(["3", "12", "30"])) for _ in range(30)]),
        "retrieval": (longbench.retrieval_score, [(numbers(), f"Paragraph {rng.choice([3, 12, 30])}") for _ in range(30)]),
        "classification": (longbench.classification_score,
                           [(picked(rng.randint(0, 4)), rng.choice(classes)) for _ in range(60)]),
    }
    scored = {name: [[p, g, float(score(p, g, all_classes=classes))] for p, g in pairs]
              for name, (score, pairs) in sets.items()}
    several = [(p, [g, h]) for (p, g), (_, h) in zip(texts(rng), texts(rng)) if g and h]
    scored["bleu_of_two_references"] = several
    bleu = sacrebleu.corpus_bleu([p for p, _ in several], [list(golds) for golds in zip(*(g for _, g in several))]).score
    with open(sys.argv[2], "w", encoding="utf-8") as file:
        file.write(f'{{"classes": {json.dumps(classes)}, "bleu_of_two_references": {bleu!r},\n "pairs": {{')
        for i, (name, pairs) in enumerate(scored.items()):  # a line for each pair
            lines = ",\n  ".join(json.dumps(pair) for pair in pairs)
            file.write(f'{"," if i else ""}\n "{name}": [\n  {lines}]')
        file.write("}}\n")


if __name__ == "__main__":
    main()

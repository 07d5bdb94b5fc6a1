"""Compares greedy tokens: precis generate, and transformers on the same memory file through precis_memory.

Trains a tiny compressor of every method, carrier and position scheme, compresses a passage of several segments,
continues four prompts, and prints a table. Both sides compute in float32. The control counts the answers that change if
the tokens behind the memory stand 16 positions too far: the comparison would notice.

    python tests/compare_with_precis.py --precis PATH --model FOLDER_OR_GGUF [--only beacon] [--work FOLDER]

Needs transformers, and sentencepiece (folders with tokenizer.model) or gguf (GGUF files). Exit code 1 on a difference.
"""

import argparse
import json
import subprocess
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch

import precis_memory

CASES = {  # settings of the compressor
    "pic, rows, sequential": "method=pic form=published memory_markers=true",
    "pic, rows, epl": "method=pic form=published positions=epl",
    "pic, rows, chunk_end": "method=pic",
    "pic, kv, sequential": "method=pic form=published carrier=kv projector=none",
    "pic, kv, epl": "method=pic form=published carrier=kv projector=none positions=epl",
    "pic, kv, chunk_end": "method=pic carrier=kv",
    "icae, rows, sequential": "method=icae",
    "icae, rows, sequential, no BOS": "method=icae decoder_bos=no",
    "icae, rows, epl": "method=icae positions=epl",
    "500x, kv, sequential": "method=500x",
    "500x, kv, sequential, no BOS": "method=500x decoder_bos=no",
    "500x, kv, epl": "method=500x positions=epl",
    "sac, kv": "method=sac",
    "comprexit, rows, sequential": "method=comprexit form=published",
    "comprexit, rows, chunk_end": "method=comprexit",
    "mean-pool, rows, sequential": "method=mean-pool form=published memory_markers=true",
    "mean-pool, rows, chunk_end": "method=mean-pool",
    "beacon, kv, interleave": "method=beacon",
    "beacon, kv, append": "method=beacon layout=append",
}
PROMPTS = (
    "Question: Who founded the company?\nAnswer:",
    "The company is a family business. The head office is",
    "The following is a summary of what is known about these people:",
    "Once upon a time, there was a",
)


@dataclass
class Decoder:
    """The base model in transformers, with what `precis inspect` says of its tokenizer."""

    model: Any
    encode: Callable[[str], list[int]]
    decode: Callable[[list[int]], str]
    tokenizer: dict[str, Any]  # bos_id, adds_bos, end_ids


@dataclass
class Outcome:
    memory: precis_memory.Memory
    equal: int = 0  # answers with the same text and number of tokens
    tokens: int = 0  # all tokens that precis generated
    control: int = 0  # answers with another text at shifted positions


def call(precis: str, *arguments: str) -> str:
    done = subprocess.run([precis, *arguments], capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise RuntimeError(f"precis {arguments[0]}: {done.stderr.strip().splitlines()[-1]}")
    return done.stdout


def open_decoder(precis: str, path: Path) -> Decoder:
    from transformers import AutoModelForCausalLM, AutoTokenizer

    about = json.loads(call(precis, "inspect", str(path), "--json"))["tokenizer"]
    if path.suffix == ".gguf":
        where, extra = path.parent, {"gguf_file": path.name}
    else:
        where, extra = path, {}
    model = AutoModelForCausalLM.from_pretrained(where, dtype=torch.float32, **extra).eval()
    if (path / "tokenizer.model").exists():
        from sentencepiece import SentencePieceProcessor

        pieces = SentencePieceProcessor(model_file=str(path / "tokenizer.model"))
        return Decoder(model, pieces.encode, pieces.decode, about)
    tokenizer = AutoTokenizer.from_pretrained(where, **extra)
    return Decoder(
        model,
        lambda text: tokenizer.encode(text, add_special_tokens=False),
        lambda ids: tokenizer.decode(ids, clean_up_tokenization_spaces=False),
        about,
    )


def generate(
    decoder: Decoder, memory: precis_memory.Memory, prompt: precis_memory.Prompt, text: str, n: int
) -> list[int]:
    """At most n greedy tokens, without the end token."""
    inputs = precis_memory.transformers_inputs(decoder.model, memory, decoder.encode(text), prompt)
    ends = decoder.tokenizer["end_ids"]
    with torch.inference_mode():
        out = decoder.model.generate(
            **inputs, max_new_tokens=n, do_sample=False, eos_token_id=ends, pad_token_id=ends[0]
        )
    ids = out[0].tolist()
    return ids[:-1] if ids and ids[-1] in ends else ids


def train(precis: str, model: Path, settings: str, work: Path, data: Path, steps: int) -> None:
    small = "segment_length=64 ratio=4 lora.rank=4 lora.alpha=4".split() + settings.split()
    call(
        precis,
        "train",
        f"model.path={model.resolve()}",
        "model.dtype=float32",
        f"data.train={data}",
        *(f"compressor.{setting}" for setting in small),
        *f"train.steps={steps} train.batch=1 train.lr=1e-3 train.warmup_steps=0".split(),
        f"run.dir={work}/run",
        "run.threads=1",
    )


def compare(precis: str, model: Path, decoder: Decoder, settings: str, work: Path, tokens: int, steps: int) -> Outcome:
    """Trains one compressor in the empty folder `work`, compresses a passage and compares the answers."""
    work.mkdir(parents=True)
    data, text, file = work / "data.jsonl", work / "text.txt", work / "memory.safetensors"
    call(precis, "synth", "--out", str(data), "--count", "40", "--seed", "1", "--entities", "4")
    text.write_text(json.loads(data.read_text().splitlines()[5])["context"])
    train(precis, model, settings, work, data, steps)
    run = ["--compressor", f"{work}/run", "--dtype", "float32", "--threads", "1"]
    call(precis, "compress", *run, "--text", str(text), "--out", str(file))
    memory = precis_memory.read_memory(file, model=model)
    precis_memory.write_memory(file, memory)  # precis reads what Python has written
    about = decoder.tokenizer
    bos_id = about["bos_id"] if about["bos_id"] >= 0 else None
    prompt = precis_memory.read_prompt(work / "run", memory, bos_id=bos_id, adds_bos=about["adds_bos"])
    shifted = replace(memory, next_position=memory.next_position + 16)
    outcome = Outcome(memory)
    for asked in PROMPTS:
        line = call(
            precis,
            "generate",
            *run,
            "--memory",
            str(file),
            "--prompt",
            asked,
            "--max-new-tokens",
            str(tokens),
            "--json",
        )
        theirs = json.loads(line)
        ours = generate(decoder, memory, prompt, asked, tokens)
        if decoder.decode(ours) == theirs["text"] and len(ours) == theirs["tokens"]:
            outcome.equal += 1
        else:
            print(f"  precis:       {theirs['text']!r}\n  transformers: {decoder.decode(ours)!r}", file=sys.stderr)
        outcome.tokens += theirs["tokens"]
        outcome.control += generate(decoder, shifted, prompt, asked, tokens) != ours
    return outcome


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--precis", required=True, help="the precis program")
    parser.add_argument("--model", required=True, type=Path, help="Hugging Face folder or GGUF file")
    parser.add_argument("--tokens", type=int, default=64, help="greedy tokens per answer")
    parser.add_argument("--steps", type=int, default=3, help="training steps per compressor")
    parser.add_argument("--only", default="", help="only compressors whose name contains this")
    parser.add_argument("--work", type=Path, help="folder to keep runs and memory files in")
    options = parser.parse_args()
    decoder = open_decoder(options.precis, options.model)
    print("| compressor | entries | next position | answers equal | tokens | control: changed |\n" + "|---" * 6 + "|")
    failed = False
    with tempfile.TemporaryDirectory() as temporary:
        work = options.work or Path(temporary)
        for i, (name, settings) in enumerate(CASES.items()):
            if options.only not in name:
                continue
            try:
                o = compare(
                    options.precis, options.model, decoder, settings, work / str(i), options.tokens, options.steps
                )
            except RuntimeError as error:
                print(f"| {name} | not compared: {error} | | | | |", flush=True)
                continue
            failed |= o.equal < len(PROMPTS) or o.tokens == 0
            of = len(PROMPTS)
            cells = (
                name,
                o.memory.entries,
                o.memory.next_position,
                f"{o.equal} of {of}",
                o.tokens,
                f"{o.control} of {of}",
            )
            print("| " + " | ".join(map(str, cells)) + " |", flush=True)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())

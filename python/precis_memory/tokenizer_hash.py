"""The hash of a tokenizer, as precis computes it (src/text).

A SentencePiece model is hashed as a file. Of byte-level BPE the pre-tokenizer, all tokens and all merges are hashed, so
that a GGUF file and a tokenizer.json of the same tokenizer can agree.
"""

import json
from pathlib import Path
from typing import Any

import xxhash

from .error import PrecisError

GPT2 = r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"
LLAMA3 = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}"
    r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
QWEN2 = LLAMA3.replace(r"\p{N}{1,3}", r"\p{N}")
NORMALIZERS = {None: 0, "NFC": 1, "NFKC": 2, "NFD": 3, "NFKD": 4}
GGUF_PRE_TOKENIZERS: dict[str, tuple[int, list[str]]] = {  # normalizer, patterns
    "gpt-2": (0, [GPT2]),
    "gpt2": (0, [GPT2]),
    "llama-bpe": (0, [LLAMA3]),
    "llama3": (0, [LLAMA3]),
    "llama-v3": (0, [LLAMA3]),
    "qwen2": (1, [QWEN2]),
    "smollm": (0, [r"\p{N}", GPT2]),
}


def tokenizer_hash(path: str | Path) -> str:
    """The hash of a tokenizer.json, SentencePiece model or GGUF file, or of the one in a folder.

    Raises PrecisError for other kinds, which precis may read all the same.
    """
    path = Path(path)
    if path.is_dir():
        names = [name for name in ("tokenizer.json", "vocab.json", "tokenizer.model") if (path / name).exists()]
        path = path / names[0] if names else path / "tokenizer.json"
    if not path.exists():
        raise PrecisError("no tokenizer here", path.parent, "tokenizer.json or tokenizer.model", "neither")
    if path.suffix == ".gguf":
        return _hash_of_gguf(path)
    if path.suffix == ".json" and path.name != "vocab.json":
        return _hash_of_tokenizer_json(path)
    data = path.read_bytes()
    if not data.startswith(b"\n"):  # field 1 of a SentencePiece ModelProto
        raise PrecisError("unsupported tokenizer", path, "SentencePiece, tokenizer.json or GGUF", "another kind")
    return xxhash.xxh3_128(data).hexdigest()


def _hash_of_bpe(normalizer: int, patterns: list[str], whole: bool, tokens: list[bytes], merges: list[bytes]) -> str:
    parts = [f"normalizer {normalizer}".encode()]
    parts += [f"\nsplit {pattern}".encode() for pattern in patterns]
    parts += [b"|whole" if whole else b"|merge"]
    parts += [token + b"\0" for token in tokens]
    parts += [merge + b"\n" for merge in merges]
    return xxhash.xxh3_128(b"".join(parts)).hexdigest()


def _hash_of_gguf(path: Path) -> str:
    try:
        from gguf import GGUFReader
    except ImportError as error:
        raise PrecisError("reading a GGUF file's tokenizer needs a package", path, "gguf", "not installed") from error
    fields = GGUFReader(path).fields

    def value(key: str, default: Any = None) -> Any:
        return fields[key].contents() if key in fields else default

    model, name = value("tokenizer.ggml.model"), value("tokenizer.ggml.pre", "gpt-2")
    if model != "gpt2" or name not in GGUF_PRE_TOKENIZERS:
        raise PrecisError(
            "unsupported tokenizer", path, f"gpt2 with {' or '.join(GGUF_PRE_TOKENIZERS)}", f"{model} with {name}"
        )
    texts = value("tokenizer.ggml.tokens")
    types = value("tokenizer.ggml.token_type", [1] * len(texts))
    control, user_defined, unused = 3, 4, 5
    tokens = []
    for text, kind in zip(texts, types, strict=True):
        if kind in (control, user_defined):
            tokens.append(text.encode())
        elif kind == unused and not set(text) <= BYTE_OF.keys():
            tokens.append(b"")
        else:
            tokens.append(_bytes_of(text))
    merges = [_bytes_of_merge(merge) for merge in value("tokenizer.ggml.merges") if merge]
    return _hash_of_bpe(*GGUF_PRE_TOKENIZERS[name], name == "llama-bpe", tokens, merges)


def _hash_of_tokenizer_json(path: Path) -> str:
    tokenizer = json.loads(path.read_text(encoding="utf-8"))
    model = tokenizer["model"]
    if model.get("type", "BPE") != "BPE" or model.get("byte_fallback"):
        raise PrecisError("unsupported tokenizer", path, "byte-level BPE", model.get("type"))
    added = {token["content"]: token["id"] for token in tokenizer.get("added_tokens", [])}
    tokens = [b""] * (1 + max([*model["vocab"].values(), *added.values()]))
    for text, index in model["vocab"].items():
        tokens[index] = text.encode() if text in added else _bytes_of(text)
    for text, index in added.items():
        tokens[index] = text.encode()
    merges = [_bytes_of_merge(m if isinstance(m, str) else " ".join(m)) for m in model["merges"]]
    normalizer = _parts(tokenizer.get("normalizer"), "normalizers")
    kind = normalizer[0]["type"] if normalizer else None
    if len(normalizer) > 1 or kind not in NORMALIZERS:
        raise PrecisError(
            "unsupported normalizer", path, "one of NFC, NFKC, NFD, NFKD", [p["type"] for p in normalizer]
        )
    patterns = []
    for part in _parts(tokenizer.get("pre_tokenizer"), "pretokenizers"):
        patterns += _patterns_of(part, path)
    return _hash_of_bpe(NORMALIZERS[kind], patterns, bool(model.get("ignore_merges")), tokens, merges)


def _parts(part: dict[str, Any] | None, key: str) -> list[dict[str, Any]]:
    """The steps of a normalizer or pre-tokenizer, sequences flattened."""
    if part is None:
        return []
    return [p for inner in part[key] for p in _parts(inner, key)] if part["type"] == "Sequence" else [part]


def _patterns_of(part: dict[str, Any], path: Path) -> list[str]:
    if part["type"] == "ByteLevel":
        return [GPT2] if part.get("use_regex", True) else []
    if part["type"] == "Digits":
        return [r"\p{N}" if part.get("individual_digits") else r"\p{N}+"]
    if part["type"] == "Split" and "Regex" in part["pattern"]:
        return [part["pattern"]["Regex"]]
    if part["type"] == "Split":
        return ["".join("\\" + c if c in "\\^$.|?*+()[]{}-#&~" else c for c in part["pattern"]["String"])]
    raise PrecisError("unsupported pre-tokenizer", path, "Split, Digits or ByteLevel", part["type"])


def _byte_by_character() -> dict[str, int]:
    """GPT-2's bytes_to_unicode, inverted: printable Latin-1 stands for itself, other bytes for U+0100 onwards."""
    itself = [*range(33, 127), *range(161, 173), *range(174, 256)]
    others = [byte for byte in range(256) if byte not in itself]
    return {chr(byte): byte for byte in itself} | {chr(256 + i): byte for i, byte in enumerate(others)}


BYTE_OF = _byte_by_character()


def _bytes_of(text: str) -> bytes:
    try:
        return bytes(BYTE_OF[c] for c in text)
    except KeyError as error:
        raise PrecisError("the token is not in byte-level form", text, "printable bytes", error) from error


def _bytes_of_merge(merge: str) -> bytes:
    left, right = merge.split(" ")
    return _bytes_of(left) + b" " + _bytes_of(right)

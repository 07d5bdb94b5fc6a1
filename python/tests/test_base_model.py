"""Fingerprints and tokenizer hashes. The constants are those of `precis inspect` and of compressor.json."""

import json
import shutil
from pathlib import Path

import pytest
import torch
from conftest import DATA, ROOT
from safetensors.torch import load_file, save_file

from precis_memory import PrecisError, base_model, read_memory
from precis_memory.base_model import weights_fingerprint
from precis_memory.tokenizer_hash import tokenizer_hash

SMALL = ROOT / "assets" / "small-decoder"
SMOLLM2 = ROOT / "models" / "SmolLM2-135M-Instruct.Q4_1.gguf"
needs_small = pytest.mark.skipif(not SMALL.exists(), reason="no assets/small-decoder beside the package")


@needs_small
def test_hugging_face_folder() -> None:
    base = base_model(SMALL)
    assert base.fingerprint == "44ab662a4fc349ea573422c5155d32ca"
    assert base.tokenizer_hash == "cb3f2d89c34aa3ff441745b32e27edeb"
    read_memory(DATA / "icae-rows.safetensors", model=SMALL)
    with pytest.raises(PrecisError, match="another base model; expected .*, found 44ab662a"):
        read_memory(DATA / "icae-rows.safetensors", model=ROOT / "assets" / "small-decoder-long")


@needs_small
def test_shards_have_the_fingerprint_of_the_whole(tmp_path: Path) -> None:
    tensors = load_file(SMALL / "model.safetensors")
    names = sorted(tensors)
    parts = {"a.safetensors": names[1::2], "b.safetensors": names[::2]}
    for file, own in parts.items():
        save_file({name: tensors[name] for name in own}, tmp_path / file)
    index = {"weight_map": {name: file for file, own in parts.items() for name in own}}
    (tmp_path / "model.safetensors.index.json").write_text(json.dumps(index))
    assert weights_fingerprint(tmp_path) == weights_fingerprint(SMALL)


def test_dtype_and_shape_count(tmp_path: Path) -> None:
    hashes = set()
    for tensor in (torch.zeros(2, 2), torch.zeros(4), torch.zeros(4, dtype=torch.int32)):
        save_file({"w": tensor}, tmp_path / "model.safetensors")
        hashes.add(weights_fingerprint(tmp_path))
    assert len(hashes) == 3


def test_gguf_file() -> None:
    pytest.importorskip("gguf")
    if not SMOLLM2.exists():
        pytest.skip("no SmolLM2: run scripts/fetch_smollm2.sh")
    base = base_model(SMOLLM2)
    assert base.fingerprint == "1dff70ef9e211d0ab8951aa641e75aa1"
    assert base.tokenizer_hash == "60ee19e1d3517e257004f29bdfc317e8"


def bpe(**changes: object) -> dict[str, object]:
    """A tokenizer.json with tokens a, b, ab, a line feed and a special token."""
    return {
        "normalizer": {"type": "NFC"},
        "pre_tokenizer": {
            "type": "Sequence",
            "pretokenizers": [
                {"type": "Split", "pattern": {"Regex": "\\p{N}{1,3}"}, "behavior": "Isolated"},
                {"type": "Split", "pattern": {"String": "a.b"}, "behavior": "Isolated"},
                {"type": "Digits", "individual_digits": True},
                {"type": "ByteLevel", "add_prefix_space": False, "use_regex": True},
            ],
        },
        "added_tokens": [{"id": 5, "content": "<end>", "special": True}],
        "model": {
            "type": "BPE",
            "vocab": {"a": 0, "b": 1, "ab": 2, "Ċ": 3},
            "merges": [["a", "b"]],
            "ignore_merges": True,
        },
    } | changes


def test_tokenizer_json(tmp_path: Path) -> None:
    path = tmp_path / "tokenizer.json"
    path.write_text(json.dumps(bpe()))
    assert tokenizer_hash(tmp_path) == tokenizer_hash(path) == "6dedf23868026baec004dc13e349d162"
    path.write_text(json.dumps(bpe(normalizer=None, pre_tokenizer={"type": "ByteLevel", "add_prefix_space": False})))
    assert tokenizer_hash(path) == "ab859f99c205ba48589ed5342716cfa7"


def test_refusals(tmp_path: Path) -> None:
    with pytest.raises(PrecisError, match="no weights here"):
        weights_fingerprint(tmp_path)
    with pytest.raises(PrecisError, match="no tokenizer here"):
        tokenizer_hash(tmp_path)
    path = tmp_path / "tokenizer.json"
    path.write_text(json.dumps(bpe(model={"type": "Unigram", "vocab": []})))
    with pytest.raises(PrecisError, match="expected byte-level BPE, found Unigram"):
        tokenizer_hash(path)
    path.write_text(json.dumps(bpe(pre_tokenizer={"type": "Metaspace"})))
    with pytest.raises(PrecisError, match="pre-tokenizer; expected Split, Digits or ByteLevel, found Metaspace"):
        tokenizer_hash(path)
    shutil.copy(path, tmp_path / "tokenizer.model")
    with pytest.raises(PrecisError, match="expected SentencePiece"):
        tokenizer_hash(tmp_path / "tokenizer.model")

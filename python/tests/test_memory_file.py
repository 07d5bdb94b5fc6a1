"""The format: round trips, files that precis wrote, and every refusal with both sides."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from conftest import BASE, DATA
from safetensors.torch import save_file

from precis_memory import BaseModel, Memory, PrecisError, new_memory, read_memory, write_memory
from precis_memory.memory import checksum, source_hash
from precis_memory.tensors import read_safetensors


def assert_same(a: Memory, b: Memory) -> None:
    for name, value in vars(a).items():
        other = getattr(b, name)
        if isinstance(value, torch.Tensor):
            assert value.dtype == other.dtype and torch.equal(value, other), name
        elif name != "layers":
            assert value == other, name
    assert len(a.layers) == len(b.layers)
    for ours, theirs in zip(a.layers, b.layers, strict=True):
        assert all(x.dtype == y.dtype and torch.equal(x, y) for x, y in zip(ours, theirs, strict=True))


def resign(path: Path, change_metadata: dict[str, str], change_tensors: dict[str, torch.Tensor | None]) -> None:
    """Changes a file and gives it a valid checksum; None removes a tensor."""
    tensors, metadata = read_safetensors(path)
    metadata |= change_metadata
    tensors |= change_tensors
    tensors = {name: tensor for name, tensor in tensors.items() if tensor is not None}
    metadata["checksum"] = checksum(metadata, tensors)
    save_file(tensors, path, metadata)


def test_round_trip(rows_memory: Memory, kv_memory: Memory, tmp_path: Path) -> None:
    documents = {"documents": torch.tensor([0, 0, 1, 1]), "document_tokens": torch.tensor([8, 8])}
    for memory in (rows_memory, kv_memory, replace(rows_memory, **documents)):
        write_memory(tmp_path / "memory.safetensors", memory)
        assert_same(memory, read_memory(tmp_path / "memory.safetensors"))
    assert list(tmp_path.iterdir()) == [tmp_path / "memory.safetensors"]


@pytest.mark.parametrize("name", ["icae-rows", "sac-kv-bfloat16"])
def test_files_of_precis_are_read_and_written_alike(name: str, tmp_path: Path) -> None:
    path = DATA / f"{name}.safetensors"
    memory = read_memory(path)
    write_memory(tmp_path / "again.safetensors", memory)
    assert read_safetensors(path)[1] == read_safetensors(tmp_path / "again.safetensors")[1]  # checksum included
    assert_same(memory, read_memory(tmp_path / "again.safetensors"))


def test_contents_of_a_file_of_precis() -> None:
    rows = read_memory(DATA / "icae-rows.safetensors")
    assert (rows.method, rows.ratio, rows.carrier, rows.markers) == ("icae", 4, "embedding", True)
    assert rows.rows is not None and rows.rows.shape == (2, 128)
    assert rows.position_ids.tolist() == [2, 5] and rows.next_position == 7  # BOS, two brackets around one row each
    kv = read_memory(DATA / "sac-kv-bfloat16.safetensors")
    assert len(kv.layers) == 4 and kv.layers[0][0].shape == (2, 2, 32) and kv.layers[0][0].dtype == torch.bfloat16
    assert kv.position_ids.tolist() == [2, 6] and kv.next_position == kv.source_tokens == 6


def test_base_model_and_method_are_checked(rows_memory: Memory, tmp_path: Path) -> None:
    path = tmp_path / "memory.safetensors"
    write_memory(path, rows_memory)
    read_memory(path, model=BASE, method="pic")
    for model, method, what, expected, found in (
        (BaseModel("0" * 32, BASE.tokenizer_hash), None, "base model", "0" * 32, "f" * 32),
        (BaseModel(BASE.fingerprint, "1" * 32), None, "tokenizer", "1" * 32, "a" * 32),
        (None, "sac", "method", "sac", "pic"),
    ):
        with pytest.raises(PrecisError) as error:
            read_memory(path, model=model, method=method)
        assert what in str(error.value) and error.value.where == str(path)
        assert (error.value.expected, error.value.found) == (expected, found)


def test_altered_and_cut_files_are_refused(rows_memory: Memory, tmp_path: Path) -> None:
    path = tmp_path / "memory.safetensors"
    write_memory(path, rows_memory)
    data = path.read_bytes()
    for at in (8, 40, len(data) // 2, len(data) - 1):
        path.write_bytes(data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :])
        with pytest.raises(PrecisError):
            read_memory(path)
        path.write_bytes(data[:at])
        with pytest.raises(PrecisError, match="cut off"):
            read_memory(path)
    path.write_bytes(data[:-1] + bytes([data[-1] ^ 1]))
    with pytest.raises(PrecisError, match="checksum; expected [0-9a-f]{32}, found [0-9a-f]{32}"):
        read_memory(path)
    with pytest.raises(PrecisError, match="none.safetensors"):
        read_memory(tmp_path / "none.safetensors")


@pytest.mark.parametrize(
    ("metadata", "tensors", "message"),
    [
        ({"format": "other"}, {}, "metadata format; expected precis-memory, found other"),
        ({"format_version": "2"}, {}, "format version; expected 1, found 2"),
        ({"carrier": "text"}, {}, "carrier; expected embedding or kv, found text"),
        ({"positions": "own"}, {}, "positions; expected rows or source or source_and_rows, found own"),
        ({"markers": "maybe"}, {}, "markers; expected yes or no, found maybe"),
        ({"ratio": "-4"}, {}, "ratio; expected a non-negative integer, found -4"),
        ({"carrier": "kv"}, {}, "tensor layers.0.keys; expected a tensor, found none"),
        ({}, {"rows": None}, "tensor rows; expected a tensor, found none"),
        ({}, {"more": torch.zeros(1)}, "only the memory's tensors, found more"),
        ({}, {"rows": torch.zeros(3, 6)}, r"shape of rows; expected \[4, 6\], found \[3, 6\]"),
        ({}, {"rows": torch.zeros(4, 6, dtype=torch.int64)}, "expected floating-point entries, found torch.int64"),
        ({}, {"segments": torch.tensor([0, 0, 1, 4])}, "values of segments; expected 0 to 3, found 0 to 4"),
        ({}, {"segments": torch.zeros(4)}, "dtype of segments; expected torch.int64, found torch.float32"),
        ({}, {"position_ids": torch.tensor([1, 2, 3, 17])}, "values of position_ids; expected 0 to 16, found 1 to 17"),
        ({}, {"document_tokens": torch.tensor([8, 8])}, "tensor documents; expected a tensor, found none"),
    ],
)
def test_contradictions_are_refused(
    metadata: dict[str, str], tensors: dict[str, torch.Tensor | None], message: str, rows_memory: Memory, tmp_path: Path
) -> None:
    path = tmp_path / "memory.safetensors"
    write_memory(path, rows_memory)
    resign(path, metadata, tensors)
    with pytest.raises(PrecisError, match=message) as error:
        read_memory(path)
    assert str(path) in error.value.where


def test_other_files_are_refused(tmp_path: Path) -> None:
    save_file({"weight": torch.zeros(2)}, tmp_path / "model.safetensors")
    with pytest.raises(PrecisError, match="not a memory file: metadata format; expected precis-memory, found none"):
        read_memory(tmp_path / "model.safetensors")
    (tmp_path / "text.json").write_text(json.dumps({}))
    with pytest.raises(PrecisError, match="not a safetensors file"):
        read_memory(tmp_path / "text.json")


def test_the_writer_refuses_what_a_reader_would(rows_memory: Memory, kv_memory: Memory, tmp_path: Path) -> None:
    for wrong in (
        replace(rows_memory, layers=kv_memory.layers),
        replace(rows_memory, rows=None),
        replace(rows_memory, next_position=-1),
        replace(rows_memory, position_ids=torch.tensor([1, 2, 3])),
        replace(kv_memory, layers=(kv_memory.layers[0], (torch.zeros(2, 3, 4), torch.zeros(2, 3, 5)))),
        replace(rows_memory, documents=torch.zeros(4, dtype=torch.int64)),
    ):
        with pytest.raises(PrecisError):
            write_memory(tmp_path / "memory.safetensors", wrong)
    assert not list(tmp_path.iterdir())


def test_new_memory_places_entries(rows_memory: Memory, kv_memory: Memory) -> None:
    assert rows_memory.position_ids.tolist() == [1, 2, 3, 4] and rows_memory.next_position == 5
    assert kv_memory.next_position == 10
    common = {"method": "own", "ratio": 4, "base": BASE, "compressor_hash": "1", "source_ids": [1, 2, 3]}
    both = new_memory(**common, rows=torch.zeros(1, 2), positions="source_and_rows", position_ids=torch.tensor([3]))
    assert both.next_position == 4
    with pytest.raises(PrecisError, match="no position ids"):
        new_memory(**common, rows=torch.zeros(1, 2), positions="source")
    with pytest.raises(PrecisError, match="rows or layers"):
        new_memory(**common)


def test_source_hash_covers_the_ids_in_order() -> None:
    assert len({source_hash([1, 2]), source_hash([2, 1]), source_hash([1]), source_hash([1, 2], "before")}) == 4

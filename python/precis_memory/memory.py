"""A memory: a compressed context that the frozen decoder reads in its place, and its file (docs/formats.md).

Letters: M entries, D hidden size, N layers, K key/value heads, d head width, L tokens of the context.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import xxhash
from torch import Tensor

from .base_model import BaseModel, base_model
from .error import PrecisError, require_equal
from .tensors import dtype_name, read_safetensors, tensor_bytes, write_safetensors

FORMAT, FORMAT_VERSION = "precis-memory", "1"
POSITIONS = ("rows", "source", "source_and_rows")
TEXTS = ("method", "base_fingerprint", "tokenizer_hash", "compressor_hash", "source_hash", "positions")
NUMBERS = ("method_version", "ratio", "source_tokens", "positions_before", "next_position")


@dataclass(frozen=True, kw_only=True, eq=False)
class Memory:
    """The memory of one context: `rows` (carrier embedding) or `layers` (carrier kv), never both."""

    method: str
    method_version: int
    ratio: int
    base_fingerprint: str
    tokenizer_hash: str
    compressor_hash: str
    source_tokens: int  # L
    source_hash: str
    positions: str  # what the decoder counts on behind: rows, source or source_and_rows
    positions_before: int  # positions in front of the memory or the text
    next_position: int  # position of the first row behind the memory
    markers: bool  # marker rows around each segment
    position_ids: Tensor  # int64 [M]: decoder positions
    segments: Tensor  # int64 [M]: segment of each entry
    rows: Tensor | None = None  # [M, D] floating: soft-prompt rows
    layers: tuple[tuple[Tensor, Tensor], ...] = ()  # N x (keys already rotated, values), each [K, M, d] floating
    documents: Tensor | None = None  # int64 [M]: document of each entry, if several
    document_tokens: Tensor | None = None  # int64 [n]: source tokens of each document

    @property
    def entries(self) -> int:
        return len(self.position_ids)

    @property
    def carrier(self) -> str:
        return "kv" if self.rows is None else "embedding"


def read_memory(path: str | Path, *, model: str | Path | BaseModel | None = None, method: str | None = None) -> Memory:
    """Opens a memory file and checks it.

    model: the base model at hand: a Hugging Face folder, a GGUF file, or what `base_model` returned for it (computing
        the fingerprint reads all weights once).
    method: the only method that the caller can serve.

    Raises PrecisError if the file is cut off, altered, of another format version, or holds other tensors or values than
    the format allows, and if it was made with another base model, tokenizer or method.
    """
    tensors, metadata = read_safetensors(path)
    require_equal("not a memory file: metadata format", path, FORMAT, metadata.get("format", "none"))
    version = metadata.get("format_version", "none")
    require_equal("unsupported memory file format version", path, FORMAT_VERSION, version)
    stored = metadata.get("checksum", "none")
    require_equal("the memory file was altered: checksum", path, stored, checksum(metadata, tensors))
    memory = _from_file(tensors, metadata, path)
    _check(memory, path)
    if method is not None:
        require_equal("this memory was made with another method", path, method, memory.method)
    if model is not None:
        base = model if isinstance(model, BaseModel) else base_model(model)
        require_equal("this memory was made with another base model", path, base.fingerprint, memory.base_fingerprint)
        require_equal("this memory was made with another tokenizer", path, base.tokenizer_hash, memory.tokenizer_hash)
    return memory


def write_memory(path: str | Path, memory: Memory) -> None:
    """Writes a memory file under a temporary name and renames it. Raises PrecisError if a reader would refuse it."""
    _check(memory, path)
    tensors = {"position_ids": memory.position_ids, "segments": memory.segments}
    if memory.documents is not None and memory.document_tokens is not None:
        tensors |= {"documents": memory.documents, "document_tokens": memory.document_tokens}
    if memory.rows is not None:
        tensors["rows"] = memory.rows
    for i, (keys, values) in enumerate(memory.layers):
        tensors |= {f"layers.{i}.keys": keys, f"layers.{i}.values": values}
    tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    metadata = {"format": FORMAT, "format_version": FORMAT_VERSION, "carrier": memory.carrier}
    metadata |= {key: str(getattr(memory, key)) for key in TEXTS + NUMBERS}
    metadata["markers"] = "yes" if memory.markers else "no"
    metadata["checksum"] = checksum(metadata, tensors)
    write_safetensors(path, tensors, metadata)


def new_memory(
    *,
    method: str,
    ratio: int,
    base: BaseModel,
    compressor_hash: str,
    source_ids: Sequence[int],
    rows: Tensor | None = None,
    layers: Sequence[tuple[Tensor, Tensor]] = (),
    positions: str = "rows",
    positions_before: int = 0,
    position_ids: Tensor | None = None,
    segments: Tensor | None = None,
    method_version: int = 1,
) -> Memory:
    """The memory that a method written in Python has made, with `next_position` and hashes computed.

    base: as `base_model` returns it. source_ids: the L token ids that were compressed. rows: [M, D] floating, or
    layers: N x (keys rotated at position_ids, values), each [K, M, d] floating. positions: `rows`, entries are numbered
    from `positions_before` on, which gives position_ids; `source`, entries keep the given position_ids (int64 [M]) and
    the decoder continues behind the text; `source_and_rows`, the same plus one position per entry. segments: int64 [M],
    default one segment. Raises PrecisError as write_memory does.
    """
    if rows is None and not layers:
        raise PrecisError("a memory needs rows or layers", "new_memory", "one of them", "neither")
    M = len(rows) if rows is not None else layers[0][0].shape[1]
    if positions == "rows":
        position_ids = torch.arange(positions_before, positions_before + M)
        next_position = positions_before + M
    else:
        next_position = positions_before + len(source_ids) + (M if positions == "source_and_rows" else 0)
    if position_ids is None:
        raise PrecisError("no position ids", "new_memory", f"position_ids with positions={positions}", "none")
    memory = Memory(
        method=method,
        method_version=method_version,
        ratio=ratio,
        base_fingerprint=base.fingerprint,
        tokenizer_hash=base.tokenizer_hash,
        compressor_hash=compressor_hash,
        source_tokens=len(source_ids),
        source_hash=source_hash(source_ids),
        positions=positions,
        positions_before=positions_before,
        next_position=next_position,
        markers=False,
        position_ids=position_ids,
        segments=torch.zeros(M, dtype=torch.int64) if segments is None else segments,
        rows=rows,
        layers=tuple(layers),
    )
    _check(memory, "new_memory")
    return memory


def source_hash(ids: Sequence[int], before: str = "") -> str:
    """The hash of a text's token ids; `before`: the hash of the part that they are appended to."""
    digest = xxhash.xxh3_128(before.encode())
    digest.update(tensor_bytes(torch.tensor(ids, dtype=torch.int64)))
    return digest.hexdigest()


def checksum(metadata: dict[str, str], tensors: dict[str, Tensor]) -> str:
    """128-bit xxHash3 of all metadata but `checksum`, and of every tensor's name, dtype, shape and bytes."""
    digest = xxhash.xxh3_128()
    for key in sorted(metadata):
        if key != "checksum":
            digest.update(_with_length(key) + _with_length(metadata[key]))
    for name in sorted(tensors):
        tensor = tensors[name]
        digest.update(_with_length(name) + f"{dtype_name(tensor, name)}{list(tensor.shape)}".encode())
        digest.update(tensor_bytes(tensor))
    return digest.hexdigest()


def _with_length(text: str) -> bytes:
    data = text.encode()
    return f"{len(data)}:".encode() + data


def _from_file(tensors: dict[str, Tensor], metadata: dict[str, str], path: str | Path) -> Memory:
    def text(key: str, allowed: Sequence[str] = ()) -> str:
        value = metadata.get(key)
        if value is None or (allowed and value not in allowed):
            raise PrecisError(f"invalid memory file: {key}", path, " or ".join(allowed) or "a value", value or "none")
        return value

    def number(key: str) -> int:
        value = text(key)
        if not (value.isascii() and value.isdigit()):
            raise PrecisError(f"invalid memory file: {key}", path, "a non-negative integer", value)
        return int(value)

    rest = dict(tensors)

    def take(name: str) -> Tensor:
        if name not in rest:
            raise PrecisError(f"invalid memory file: tensor {name}", path, "a tensor", "none")
        return rest.pop(name)

    content: dict[str, Any] = {}
    if text("carrier", ("embedding", "kv")) == "embedding":
        content["rows"] = take("rows")
    else:
        layers = [(take("layers.0.keys"), take("layers.0.values"))]
        while f"layers.{len(layers)}.keys" in rest:
            layers.append((take(f"layers.{len(layers)}.keys"), take(f"layers.{len(layers)}.values")))
        content["layers"] = tuple(layers)
    if "document_tokens" in rest:
        content |= {"document_tokens": take("document_tokens"), "documents": take("documents")}
    content |= {"position_ids": take("position_ids"), "segments": take("segments")}
    if rest:
        raise PrecisError("invalid memory file: tensors", path, "only the memory's tensors", min(rest))
    content |= {key: text(key) for key in TEXTS} | {key: number(key) for key in NUMBERS}
    return Memory(markers=text("markers", ("yes", "no")) == "yes", **content)


def _check(memory: Memory, where: object) -> None:
    """Raises PrecisError if tensors or numbers of `memory` contradict each other or the format."""
    m = memory
    if m.positions not in POSITIONS:
        raise PrecisError("invalid memory: positions", where, " or ".join(POSITIONS), m.positions)
    if (m.rows is None) == (not m.layers):
        raise PrecisError("invalid memory: content", where, "rows or layers", "both" if m.layers else "neither")
    if (m.documents is None) != (m.document_tokens is None):
        raise PrecisError("invalid memory: documents", where, "documents and document_tokens", "one of them")
    for key in NUMBERS:
        if getattr(m, key) < 0:
            raise PrecisError(f"invalid memory: {key}", where, "at least 0", getattr(m, key))
    M = m.position_ids.numel()
    _check_numbers("position_ids", m.position_ids, M, max(m.next_position, m.source_tokens + 1), where)
    _check_numbers("segments", m.segments, M, M, where)
    if m.documents is not None and m.document_tokens is not None:
        _check_numbers("document_tokens", m.document_tokens, m.document_tokens.numel(), 2**63 - 1, where)
        _check_numbers("documents", m.documents, M, len(m.document_tokens), where)
    if m.rows is not None:
        _check_content("rows", m.rows, (M, m.rows.shape[-1]), where)
    for i, (keys, values) in enumerate(m.layers):
        shape = (keys.shape[0], M, keys.shape[-1])
        _check_content(f"layers.{i}.keys", keys, shape, where)
        _check_content(f"layers.{i}.values", values, shape, where)


def _check_numbers(name: str, numbers: Tensor, count: int, limit: int, where: object) -> None:
    require_equal(f"invalid memory: dtype of {name}", where, torch.int64, numbers.dtype)
    require_equal(f"invalid memory: shape of {name}", where, [count], list(numbers.shape))
    if count == 0:
        raise PrecisError(f"invalid memory: {name}", where, "at least one entry", "none")
    low, high = int(numbers.min()), int(numbers.max())
    if low < 0 or high >= limit:
        raise PrecisError(f"invalid memory: values of {name}", where, f"0 to {limit - 1}", f"{low} to {high}")


def _check_content(name: str, content: Tensor, shape: tuple[int, ...], where: object) -> None:
    require_equal(f"invalid memory: shape of {name}", where, list(shape), list(content.shape))
    dtype_name(content, where)
    if content.numel() == 0 or not content.is_floating_point():
        found = f"{content.dtype} {list(content.shape)}"
        raise PrecisError(f"invalid memory: {name}", where, "floating-point entries", found)

"""What a memory file says of its base model: the fingerprint of the weights and the hash of the tokenizer."""

import json
from dataclasses import dataclass
from pathlib import Path

import xxhash
from safetensors import safe_open

from .error import PrecisError
from .tensors import dtype_name, tensor_bytes
from .tokenizer_hash import tokenizer_hash


@dataclass(frozen=True)
class BaseModel:
    fingerprint: str  # of a GGUF file's bytes, or of a Hugging Face folder's tensors
    tokenizer_hash: str


def base_model(path: str | Path, tokenizer: str | Path | None = None) -> BaseModel:
    """Computes both for a Hugging Face folder or a GGUF file; `tokenizer`: its file or folder, if elsewhere.

    Reads all weights. The same model in the other format is another base model. Raises PrecisError if there are no
    weights, or if the hash of this kind of tokenizer is not restated here.
    """
    return BaseModel(weights_fingerprint(path), tokenizer_hash(path if tokenizer is None else tokenizer))


def weights_fingerprint(path: str | Path) -> str:
    """The hash of a GGUF file's bytes, or of a folder's tensors in order of name: name, shape, dtype and bytes."""
    path = Path(path)
    digest = xxhash.xxh3_128()
    if path.is_file():
        with path.open("rb") as file:
            while block := file.read(1 << 24):
                digest.update(block)
        return digest.hexdigest()
    shards = [safe_open(path / shard, framework="pt") for shard in _shards(path)]
    shard_of = {name: shard for shard in shards for name in shard.keys()}
    for name in sorted(shard_of):
        tensor = shard_of[name].get_tensor(name)
        digest.update(f"{name}{list(tensor.shape)}{dtype_name(tensor, path)}".encode())
        digest.update(tensor_bytes(tensor))
    return digest.hexdigest()


def _shards(folder: Path) -> list[str]:
    if (folder / "model.safetensors").exists():
        return ["model.safetensors"]
    index = folder / "model.safetensors.index.json"
    if not index.exists():
        raise PrecisError("no weights here", folder, "model.safetensors, its index, or a GGUF file", "none of them")
    return sorted(set(json.loads(index.read_text())["weight_map"].values()))

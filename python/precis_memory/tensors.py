"""Tensors as files and hashes see them: safetensors in and out, and their bytes."""

import os
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from .error import PrecisError

# LibTorch's names of the dtypes, which precis's hashes cover.
DTYPE_NAMES = {
    torch.float64: "Double",
    torch.float32: "Float",
    torch.float16: "Half",
    torch.bfloat16: "BFloat16",
    torch.int64: "Long",
    torch.int32: "Int",
    torch.int16: "Short",
    torch.int8: "Char",
    torch.uint8: "Byte",
    torch.bool: "Bool",
}


def dtype_name(tensor: Tensor, where: object) -> str:
    """LibTorch's name of the dtype. Raises PrecisError for dtypes that precis does not read."""
    if tensor.dtype not in DTYPE_NAMES:
        raise PrecisError("unsupported dtype", where, ", ".join(map(str, DTYPE_NAMES)), tensor.dtype)
    return DTYPE_NAMES[tensor.dtype]


def tensor_bytes(tensor: Tensor) -> bytes:
    """The bytes of a tensor of any dtype, in row-major order."""
    return tensor.contiguous().flatten().view(torch.uint8).numpy().tobytes()


def read_safetensors(path: str | Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    """All tensors (on the CPU) and the metadata of a file. Raises PrecisError if it is missing, cut off or invalid."""
    try:
        with safe_open(path, framework="pt") as file:
            return {name: file.get_tensor(name) for name in file.keys()}, file.metadata() or {}
    except (SafetensorError, OSError, ValueError) as error:
        raise PrecisError("not a safetensors file, or cut off", path, "a complete safetensors file", error) from error


def write_safetensors(path: str | Path, tensors: dict[str, Tensor], metadata: dict[str, str]) -> None:
    """Writes a file under a temporary name, then renames it."""
    temporary = Path(f"{path}.{os.getpid()}.tmp")
    try:
        save_file({name: t.detach().cpu().contiguous() for name, t in tensors.items()}, temporary, metadata)
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)

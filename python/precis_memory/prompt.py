"""What a compressor puts around its memory in the decoder's input. It is not part of the memory file."""

import json
from dataclasses import dataclass
from pathlib import Path

from torch import Tensor

from .error import PrecisError, require_equal
from .memory import Memory
from .tensors import read_safetensors

# Methods that begin the decoder's input with BOS as `decoder_bos` says. `sac` has a row of its own, `beacon` nothing.
WITH_BOS = ("pic", "icae", "500x", "mean-pool", "comprexit")


@dataclass(frozen=True, eq=False)
class Prompt:
    """The default, nothing around the memory, is that of keys and values without BOS."""

    bos_id: int | None = None  # BOS: at position 0 in front of rows, behind keys and values
    begin_row: Tensor | None = None  # [D]: in front of each segment's rows, if the memory has markers
    end_row: Tensor | None = None  # [D]: behind them
    task_row: Tensor | None = None  # [D]: between the memory and the task's tokens (SAC's [LM])


def read_prompt(compressor: str | Path, memory: Memory, bos_id: int | None, adds_bos: bool) -> Prompt:
    """Reads what a built-in method's compressor puts around `memory` when it is asked about its text.

    compressor: finished run, export or checkpoint. bos_id: the tokenizer's BOS token, None if it has none. adds_bos:
    whether the tokenizer begins texts with it (`add_bos_token`; `precis inspect MODEL` shows both).

    Raises PrecisError if there is no compressor, if `memory` was made with another method, ratio, base model or
    tokenizer, or if BOS is not what the memory was placed behind. Other trained values cannot be told from the files.
    """
    folder = Path(compressor)
    if (folder / "compressor" / "compressor.json").exists():
        folder = folder / "compressor"
    where = folder / "compressor.json"
    if not where.exists():
        raise PrecisError("no trained compressor here", compressor, "compressor.json", "none")
    about = json.loads(where.read_text())
    settings = about["compressor"]
    require_equal("unsupported compressor format version", where, 1, about["format_version"])
    for what, ours, theirs in (
        ("method", settings["method"], memory.method),
        ("base model", about["base_fingerprint"], memory.base_fingerprint),
        ("tokenizer", about["tokenizer_hash"], memory.tokenizer_hash),
        ("carrier", settings["carrier"], memory.carrier),
    ):
        require_equal(f"the memory was made with another {what} than this compressor's", where, ours, theirs)
    ratios = settings["ratio"] if isinstance(settings["ratio"], list) else [settings["ratio"]]
    if memory.ratio not in ratios:
        raise PrecisError("the memory was made with another ratio", where, f"one of {ratios}", memory.ratio)
    tensors, _ = read_safetensors(folder / "compressor.safetensors")
    if memory.method == "sac":
        return Prompt(task_row=tensors["lm_row"])
    if memory.method == "beacon":
        return Prompt()
    if memory.method not in WITH_BOS:
        raise PrecisError("the prompt of this method is not known: make a Prompt", where, WITH_BOS, memory.method)
    bos = settings["decoder_bos"] == "yes" or (settings["decoder_bos"] == "auto" and adds_bos)
    if bos and bos_id is None:
        raise PrecisError("this compressor's prompt has a BOS", where, "bos_id", "none")
    if memory.positions == "rows":
        require_equal("positions in front of the memory (BOS)", where, int(bos), memory.positions_before)
    return Prompt(bos_id if bos else None, tensors.get("mem_begin_row"), tensors.get("mem_end_row"))

"""A memory and a task's tokens as what other programs take.

Letters: M entries, T rows of the decoder's input (without cached entries), D hidden size, V vocabulary.
"""

import inspect
from collections.abc import Sequence
from typing import Any

import numpy
import torch
from torch import Tensor

from .error import PrecisError, require_equal
from .memory import Memory
from .prompt import Prompt


def decoder_input(
    memory: Memory, ids: Sequence[int], embeddings: Tensor, prompt: Prompt = Prompt()
) -> tuple[Tensor, Tensor]:
    """The decoder's input rows [T, D] in the dtype of `embeddings` [V, D], and their positions int64 [T].

    ids: the tokens of the task that follows the memory. With carrier embedding the rows include the memory; with kv the
    memory is the decoder's cache, and the rows follow it. Raises PrecisError if D differs, if the memory has markers
    and `prompt` has none, or if there are no rows.
    """
    rows: list[Tensor] = []
    positions: list[int] = []

    def push(row: Tensor, position: int) -> None:
        rows.append(row.to(embeddings))
        positions.append(position)

    next_position = memory.next_position
    if memory.rows is not None:
        require_equal("width of the memory's rows", "decoder_input", embeddings.shape[1], memory.rows.shape[1])
        if prompt.bos_id is not None:
            push(embeddings[prompt.bos_id], 0)
        for row, position, begins, ends in zip(
            memory.rows, memory.position_ids.tolist(), *_segment_bounds(memory), strict=True
        ):
            if memory.markers and begins:
                push(_marker(prompt.begin_row), position - 1)
            push(row, position)
            if memory.markers and ends:
                push(_marker(prompt.end_row), position + 1)
    elif prompt.bos_id is not None:
        push(embeddings[prompt.bos_id], next_position)
        next_position += 1
    if prompt.task_row is not None:
        push(prompt.task_row, next_position)
        next_position += 1
    for i, token in enumerate(ids):
        push(embeddings[token], next_position + i)
    if not rows:
        raise PrecisError("nothing follows the memory", "decoder_input", "at least one token", "none")
    return torch.stack(rows), torch.tensor(positions, device=embeddings.device)


def _segment_bounds(memory: Memory) -> tuple[list[bool], list[bool]]:
    """For each entry: whether it is its segment's first, and its last."""
    border = (memory.segments[1:] != memory.segments[:-1]).tolist()
    return [True, *border], [*border, True]


def _marker(row: Tensor | None) -> Tensor:
    if row is None:
        raise PrecisError("the memory has markers", "decoder_input", "begin_row and end_row in the prompt", "none")
    return row


def dynamic_cache(memory: Memory, dtype: torch.dtype, device: torch.device | str = "cpu") -> Any:
    """transformers' DynamicCache with the keys and values, each [1, K, M, d]. generate() adds to it: use it once.

    Raises PrecisError with carrier embedding.
    """
    from transformers import DynamicCache

    require_equal("only keys and values make a cache", "dynamic_cache", "kv", memory.carrier)
    cache = DynamicCache()
    for i, (keys, values) in enumerate(memory.layers):
        cache.update(keys[None].to(device, dtype), values[None].to(device, dtype), i)
    return cache


def transformers_inputs(model: Any, memory: Memory, ids: Sequence[int], prompt: Prompt = Prompt()) -> dict[str, Any]:
    """Arguments for `model.generate(**inputs)`, a batch of one; it returns the new tokens only.

    model: a causal language model of transformers. ids: the tokens of the task that follows the memory. Gives
    `inputs_embeds` [1, S, D], `position_ids` and `attention_mask` int64 [1, S]; with carrier kv also the cache, and
    then S = M + T, since transformers skips as many rows as are cached. Raises PrecisError if the memory's shape is not
    the model's, if the positions exceed the model's, or if transformers is too old to count on from `position_ids`.
    """
    import transformers

    where = "transformers_inputs"
    if tuple(int(part) for part in transformers.__version__.split(".")[:2]) < (5, 2):
        raise PrecisError("transformers is too old", where, "5.2 or newer", transformers.__version__)
    config = model.config
    embeddings = model.get_input_embeddings().weight.detach()
    rows, positions = decoder_input(memory, ids, embeddings, prompt)
    if int(positions.max()) >= config.max_position_embeddings:
        limit = f"below {config.max_position_embeddings}"
        raise PrecisError(
            "the memory and the task are longer than the model's positions", where, limit, int(positions.max())
        )
    inputs: dict[str, Any] = {}
    if memory.carrier == "kv":
        heads = config.num_key_value_heads
        width = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
        shape = [len(memory.layers), memory.layers[0][0].shape[0], memory.layers[0][0].shape[2]]
        require_equal("layers, heads, head width", where, [config.num_hidden_layers, heads, width], shape)
        takes_cache = "cache" in inspect.signature(model.forward).parameters  # its earlier name: past_key_values
        name = "cache" if takes_cache else "past_key_values"
        inputs[name] = dynamic_cache(memory, rows.dtype, rows.device)
        rows = torch.cat([rows.new_zeros(memory.entries, rows.shape[1]), rows])
        positions = torch.cat([memory.position_ids.to(positions.device), positions])
    return inputs | {
        "inputs_embeds": rows[None],
        "position_ids": positions[None],
        "attention_mask": torch.ones_like(positions)[None],
    }


def vllm_prompt(memory: Memory, ids: Sequence[int], embeddings: Tensor, prompt: Prompt = Prompt()) -> dict[str, Tensor]:
    """A prompt for vLLM's `LLM.generate` with `enable_prompt_embeds=True`: `prompt_embeds` [T, D].

    embeddings: the model's input embeddings [V, D]. Raises PrecisError for keys and values, and for positions other
    than 0 to T-1, since vLLM numbers the rows itself (memories with `positions` = rows have such).
    """
    return {"prompt_embeds": _numbered_rows(memory, ids, embeddings, prompt, "vllm_prompt")}


def llama_cpp_embeddings(
    memory: Memory, ids: Sequence[int], embeddings: Tensor, prompt: Prompt = Prompt()
) -> numpy.ndarray:
    """Rows for the field `embd` of a llama_batch: float32 [T, D], contiguous, at positions 0 to T-1.

    embeddings: the model's input embeddings [V, D]. Raises PrecisError as vllm_prompt does: llama.cpp refuses a
    sequence whose positions are not continuous.
    """
    rows = _numbered_rows(memory, ids, embeddings, prompt, "llama_cpp_embeddings")
    return numpy.ascontiguousarray(rows.float().cpu().numpy())


def _numbered_rows(memory: Memory, ids: Sequence[int], embeddings: Tensor, prompt: Prompt, where: str) -> Tensor:
    require_equal("only rows can be given as embeddings", where, "embedding", memory.carrier)
    rows, positions = decoder_input(memory, ids, embeddings, prompt)
    different = (positions.cpu() != torch.arange(len(positions))).nonzero()
    if len(different) > 0:
        t = int(different[0])
        raise PrecisError(
            "the positions are not those of the rows", where, f"row {t} at {t}", f"row {t} at {int(positions[t])}"
        )
    return rows

"""What a memory becomes: rows and positions, embeddings for vLLM and llama.cpp, inputs for transformers."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy
import pytest
import torch
from conftest import BASE
from safetensors.torch import save_file

from precis_memory import (
    Memory,
    PrecisError,
    Prompt,
    decoder_input,
    dynamic_cache,
    llama_cpp_embeddings,
    new_memory,
    read_prompt,
    transformers_inputs,
    vllm_prompt,
)

TABLE = 100 + torch.arange(60.0).reshape(10, 6)  # embeddings [V, D]
BEGIN, END, TASK = torch.full((6,), -1.0), torch.full((6,), -2.0), torch.full((6,), -3.0)


def test_rows_stand_between_bos_and_task(rows_memory: Memory) -> None:
    rows, positions = decoder_input(rows_memory, [7, 8], TABLE, Prompt(bos_id=1))
    assert torch.equal(rows, torch.cat([TABLE[1:2], rows_memory.rows, TABLE[7:9]]))
    assert positions.tolist() == [0, 1, 2, 3, 4, 5, 6]
    assert decoder_input(rows_memory, [7], TABLE.bfloat16())[0].dtype == torch.bfloat16


def test_markers_stand_around_each_segment(rows_memory: Memory) -> None:
    marked = replace(rows_memory, markers=True, position_ids=torch.tensor([2, 3, 6, 7]), next_position=9)
    rows, positions = decoder_input(marked, [7], TABLE, Prompt(1, BEGIN, END))
    own = marked.rows
    assert own is not None
    expected = [TABLE[1], BEGIN, own[0], own[1], END, BEGIN, own[2], own[3], END, TABLE[7]]
    assert torch.equal(rows, torch.stack(expected)) and positions.tolist() == list(range(10))
    with pytest.raises(PrecisError, match="has markers"):
        decoder_input(marked, [7], TABLE)


def test_keys_and_values_are_followed_by_bos_or_a_row(kv_memory: Memory) -> None:
    rows, positions = decoder_input(kv_memory, [7, 8], TABLE, Prompt(bos_id=1))
    assert torch.equal(rows, TABLE[[1, 7, 8]]) and positions.tolist() == [10, 11, 12]
    rows, positions = decoder_input(kv_memory, [7], TABLE, Prompt(task_row=TASK))
    assert torch.equal(rows, torch.stack([TASK, TABLE[7]])) and positions.tolist() == [10, 11]
    with pytest.raises(PrecisError, match="nothing follows"):
        decoder_input(kv_memory, [], TABLE)


def test_embeddings_for_vllm_and_llama_cpp(rows_memory: Memory, kv_memory: Memory) -> None:
    expected, _ = decoder_input(rows_memory, [7, 8], TABLE, Prompt(bos_id=1))
    assert torch.equal(vllm_prompt(rows_memory, [7, 8], TABLE, Prompt(bos_id=1))["prompt_embeds"], expected)
    array = llama_cpp_embeddings(rows_memory, [7, 8], TABLE.bfloat16(), Prompt(bos_id=1))
    assert array.dtype == numpy.float32 and array.flags.c_contiguous and array.shape == (7, 6)
    assert numpy.array_equal(array, expected.bfloat16().float().numpy())
    for convert in (vllm_prompt, llama_cpp_embeddings):
        with pytest.raises(PrecisError, match="expected embedding, found kv"):
            convert(kv_memory, [7], TABLE)
        with pytest.raises(PrecisError, match="expected row 0 at 0, found row 0 at 1"):
            convert(rows_memory, [7], TABLE)  # placed behind BOS, and none given
        spread = replace(rows_memory, positions="source", position_ids=torch.tensor([4, 8, 12, 16]), next_position=17)
        with pytest.raises(PrecisError, match="expected row 1 at 1, found row 1 at 4"):
            convert(spread, [7], TABLE, Prompt(bos_id=1))
    with pytest.raises(PrecisError, match="width of the memory's rows; expected 5, found 6"):
        decoder_input(rows_memory, [7], TABLE[:, :5])


def write_compressor(folder: Path, method: str, tensors: dict[str, torch.Tensor], **settings: object) -> Path:
    settings = {"method": method, "ratio": [4, 8], "carrier": "embedding", "decoder_bos": "auto"} | settings
    about = {"format_version": 1, "compressor": settings}
    about |= {"base_fingerprint": BASE.fingerprint, "tokenizer_hash": BASE.tokenizer_hash}
    (folder / "compressor").mkdir(parents=True)
    (folder / "compressor" / "compressor.json").write_text(json.dumps(about))
    save_file(tensors, folder / "compressor" / "compressor.safetensors")
    return folder


def test_read_prompt(rows_memory: Memory, kv_memory: Memory, tmp_path: Path) -> None:
    rows = {"mem_begin_row": BEGIN, "mem_end_row": END}
    pic = write_compressor(tmp_path / "pic", "pic", rows)
    prompt = read_prompt(pic, rows_memory, bos_id=1, adds_bos=True)
    assert prompt.bos_id == 1 and prompt.task_row is None
    assert torch.equal(prompt.begin_row, BEGIN) and torch.equal(prompt.end_row, END)
    with pytest.raises(PrecisError, match="in front of the memory .BOS.; expected 0, found 1"):
        read_prompt(pic, rows_memory, bos_id=1, adds_bos=False)
    yes = write_compressor(tmp_path / "yes", "pic", rows, decoder_bos="yes", ratio=4)
    assert read_prompt(yes, rows_memory, bos_id=1, adds_bos=False).bos_id == 1
    with pytest.raises(PrecisError, match="has a BOS; expected bos_id, found none"):
        read_prompt(yes, rows_memory, bos_id=None, adds_bos=False)
    sac = write_compressor(tmp_path / "sac", "sac", {"lm_row": TASK}, carrier="kv")
    prompt = read_prompt(sac / "compressor", kv_memory, bos_id=1, adds_bos=True)
    assert prompt.bos_id is None and torch.equal(prompt.task_row, TASK)
    beacon = write_compressor(tmp_path / "beacon", "beacon", {"beacon_row": TASK}, carrier="kv")
    assert read_prompt(beacon, replace(kv_memory, method="beacon"), 1, True).task_row is None


def test_read_prompt_refuses_another_compressor(rows_memory: Memory, kv_memory: Memory, tmp_path: Path) -> None:
    pic = write_compressor(tmp_path / "pic", "pic", {"row": BEGIN})
    for memory, message in (
        (kv_memory, "another method than this compressor's; expected pic, found sac"),
        (
            replace(rows_memory, base_fingerprint="0"),
            "another base model than this compressor's; expected ffff.*, found 0",
        ),
        (
            replace(rows_memory, tokenizer_hash="0"),
            "another tokenizer than this compressor's; expected aaaa.*, found 0",
        ),
        (replace(rows_memory, ratio=5), r"another ratio; expected one of \[4, 8\], found 5"),
    ):
        with pytest.raises(PrecisError, match=message):
            read_prompt(pic, memory, bos_id=1, adds_bos=True)
    own = write_compressor(tmp_path / "own", "own", {"row": BEGIN})
    with pytest.raises(PrecisError, match="not known"):
        read_prompt(own, replace(rows_memory, method="own"), bos_id=1, adds_bos=True)
    with pytest.raises(PrecisError, match="no trained compressor here"):
        read_prompt(tmp_path, rows_memory, bos_id=1, adds_bos=True)


@pytest.fixture(scope="module")
def llama() -> Any:
    """A random Llama of two layers with grouped heads, large enough in scale that tokens vary."""
    transformers = pytest.importorskip("transformers", reason="transformers is not installed")
    torch.manual_seed(1)
    config = transformers.LlamaConfig(
        vocab_size=50,
        hidden_size=16,
        intermediate_size=32,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=64,
        initializer_range=0.5,
        bos_token_id=1,
        eos_token_id=None,
        pad_token_id=0,
    )
    return transformers.LlamaForCausalLM(config).eval()


CONTEXT, TASK_IDS = list(range(3, 15)), [20, 21, 22]


def greedy(model: Any, **inputs: Any) -> list[int]:
    with torch.inference_mode():
        out: list[int] = model.generate(**inputs, max_new_tokens=20, do_sample=False)[0].tolist()
    return out[-20:]


def memory_of(model: Any, **content: Any) -> Memory:
    common = {"method": "own", "ratio": 1, "base": BASE, "compressor_hash": "1", "source_ids": CONTEXT}
    return new_memory(**common, **content)


def test_the_whole_context_as_memory_gives_the_same_tokens(llama: Any) -> None:
    expected = greedy(llama, input_ids=torch.tensor([CONTEXT + TASK_IDS]))
    with torch.inference_mode():
        out = llama(torch.tensor([CONTEXT]), use_cache=True)
    cache = getattr(out, "cache", None) or out.past_key_values
    layers = [(layer.keys[0], layer.values[0]) for layer in cache.layers]
    embeddings = llama.get_input_embeddings().weight.detach()
    for memory in (
        memory_of(llama, layers=layers),
        memory_of(llama, layers=layers, positions="source", position_ids=torch.arange(len(CONTEXT))),
        memory_of(llama, rows=embeddings[CONTEXT]),
    ):
        assert greedy(llama, **transformers_inputs(llama, memory, TASK_IDS)) == expected
        moved = replace(memory, next_position=memory.next_position + 5)
        assert greedy(llama, **transformers_inputs(llama, moved, TASK_IDS)) != expected


def test_positions_behind_a_gap(llama: Any) -> None:
    """generate() counts on from the given positions: compared with one pass per token."""
    embeddings = llama.get_input_embeddings().weight.detach()
    positions = torch.tensor([3, 7, 11])
    memory = memory_of(llama, rows=embeddings[:3], positions="source", position_ids=positions)
    ids, expected = list(TASK_IDS), []
    for _ in range(20):
        rows, at = decoder_input(memory, ids, embeddings)
        with torch.inference_mode():
            logits = llama(
                inputs_embeds=rows[None], position_ids=at[None], attention_mask=torch.ones(1, len(at))
            ).logits
        expected.append(int(logits[0, -1].argmax()))
        ids.append(expected[-1])
    assert greedy(llama, **transformers_inputs(llama, memory, TASK_IDS)) == expected


def test_transformers_refusals(
    llama: Any, rows_memory: Memory, kv_memory: Memory, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(PrecisError, match="expected kv, found embedding"):
        dynamic_cache(rows_memory, torch.float32)
    with pytest.raises(PrecisError, match="width of the memory's rows; expected 16, found 6"):
        transformers_inputs(llama, rows_memory, TASK_IDS)
    wide = replace(kv_memory, layers=tuple((k[:1], v[:1]) for k, v in kv_memory.layers))
    with pytest.raises(PrecisError, match=r"layers, heads, head width; expected \[2, 2, 4\], found \[2, 1, 4\]"):
        transformers_inputs(llama, wide, TASK_IDS)
    with pytest.raises(PrecisError, match="longer than the model's positions; expected below 64, found 65"):
        transformers_inputs(llama, replace(kv_memory, next_position=63), TASK_IDS)
    monkeypatch.setattr("transformers.__version__", "4.57.1")
    with pytest.raises(PrecisError, match="too old; expected 5.2 or newer, found 4.57.1"):
        transformers_inputs(llama, kv_memory, TASK_IDS)

"""`precis export --to transformers`: compress.py makes the memories that precis makes, and the same greedy tokens.

Each case is a run whose trained tensors are replaced by random ones, so that adapters, rows and projectors all matter.
PRECIS names the program; default: build/release/bin/precis beside this package.
"""

import importlib.util
import json
import os
import shutil
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch
from compare_with_precis import Decoder, call, open_decoder
from conftest import ROOT
from safetensors.torch import load_file, save_file

import precis_memory

PRECIS = os.environ.get("PRECIS", str(ROOT / "build" / "release" / "bin" / "precis"))
MODEL = ROOT / "assets" / "small-decoder"
TOLERANCE = 1e-4
PROMPT = "Question: Who founded the company?\nAnswer:"
TOKENS = 24
CASES = {  # settings of the compressor
    "pic": "method=pic",
    "pic, published": "method=pic form=published",
    "pic, markers": "method=pic form=published memory_markers=true",
    "pic, no BOS": "method=pic encoder_bos=no decoder_bos=no",
    "pic, residual": "method=pic projector=residual",
    "pic, chunks, per group": "method=pic form=published chunk=12 memory_rows=per_group",
    "pic, interleave": "method=pic form=published chunk=8 layout=interleave",
    "pic, epl": "method=pic form=published chunk=8 positions=epl",
    "pic, kv": "method=pic form=published carrier=kv projector=none",
    "pic, kv, interleave": "method=pic form=published carrier=kv projector=none layout=interleave",
    "pic, kv, epl": "method=pic form=published carrier=kv projector=none chunk=8 positions=epl",
    "pic, kv, chunk_end": "method=pic carrier=kv",
    "pic-strict": "method=pic form=published chunk=8 mask.preset=pic-strict",
    "pic-local": "method=pic form=published chunk=8 mask.preset=pic-local",
    "pic-recurrent": "method=pic form=published chunk=8 mask.preset=pic-recurrent",
    "pic-triangular": "method=pic form=published chunk=8 mask.preset=pic-triangular",
    "pic-block": "method=pic form=published chunk=8 mask.preset=pic-block",
    "window": "method=pic form=published chunk=8 mask.memory_to_text=window mask.window=2",
    "self_only": "method=pic form=published chunk=8 mask.memory_to_memory=self_only mask.memory_sees_prefix=no",
    "icae": "method=icae",
    "icae, slots": "method=icae slots=6 decoder_bos=no",
    "icae, chunks": "method=icae chunk=16 positions=epl",
    "icae, residual": "method=icae projector=residual encoder_bos=yes",
    "500x": "method=500x",
    "500x, epl": "method=500x positions=epl encoder_bos=yes",
    "sac": "method=sac",
    "sac, anchors": "method=sac sac.attention=anchors",
    "sac, causal": "method=sac sac.attention=causal sac.anchor_embedding=false",
    "comprexit": "method=comprexit segment_length=200",
    "comprexit, published": "method=comprexit form=published",
    "comprexit, windows": "method=comprexit ratio=5 comprexit.window=32 comprexit.top_k_layers=2 projector=none",
    "mean-pool": "method=mean-pool",
    "mean-pool, published": "method=mean-pool form=published ratio=6 memory_markers=true",
}
pytestmark = pytest.mark.skipif(
    not Path(PRECIS).exists(), reason=f"no precis program at {PRECIS}: build it or set PRECIS"
)


@dataclass
class Exported:
    folder: Path
    memory: precis_memory.Memory  # made by precis
    answer: dict[str, Any]  # of precis generate
    ids: list[int]  # of the text


@pytest.fixture(scope="module")
def decoder() -> Decoder:
    for package in ("transformers", "sentencepiece"):
        pytest.importorskip(package)
    return open_decoder(PRECIS, MODEL)


@pytest.fixture(scope="module")
def passages(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("data") / "data.jsonl"
    call(PRECIS, "synth", "--out", str(path), "--count", "40", "--seed", "1", "--entities", "4")
    return path


def make_run(settings: str, passages: Path, run: Path) -> None:
    """A run of no steps, its trained tensors drawn anew."""
    small = "segment_length=64 ratio=4 lora.rank=4 lora.alpha=4".split() + settings.split()
    call(
        PRECIS,
        "train",
        f"model.path={MODEL}",
        "model.dtype=float32",
        f"data.train={passages}",
        *(f"compressor.{setting}" for setting in small),
        *"train.steps=0 run.threads=1".split(),
        f"run.dir={run}",
    )
    file = run / "compressor" / "compressor.safetensors"
    generator = torch.Generator().manual_seed(1)
    tensors = {}
    for name, tensor in load_file(file).items():
        noise = torch.randn(tensor.shape, generator=generator)
        scale = 0.2 if name.startswith("lora.") else 0.05  # of the decoder's own rows: about 0.1
        tensors[name] = tensor + scale * noise
    save_file(tensors, file)


def export(settings: str, passages: Path, work: Path, decoder: Decoder) -> Exported:
    run, text, file = work / "run", work / "text.txt", work / "memory.safetensors"
    make_run(settings, passages, run)
    text.write_text(json.loads(passages.read_text().splitlines()[5])["context"])
    call(PRECIS, "export", str(run), "--to", "transformers", "--out", str(work / "exported"))
    options = ["--compressor", str(run), "--threads", "1"]
    call(PRECIS, "compress", *options, "--text", str(text), "--out", str(file))
    line = call(
        PRECIS,
        "generate",
        *options,
        "--memory",
        str(file),
        "--prompt",
        PROMPT,
        *f"--max-new-tokens {TOKENS} --json".split(),
    )
    return Exported(
        work / "exported", precis_memory.read_memory(file), json.loads(line), decoder.encode(text.read_text())
    )


def load_code(folder: Path) -> ModuleType:
    """The folder's own compress.py, as a user imports it."""
    spec = importlib.util.spec_from_file_location("compress", folder / "compress.py")
    code = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(code)
    return code


def largest_difference(ours: Any, theirs: precis_memory.Memory) -> float:
    if theirs.rows is not None:
        return float((ours.rows - theirs.rows).abs().max())
    return max(
        float((a - b).abs().max())
        for mine, his in zip(ours.layers, theirs.layers, strict=True)
        for a, b in zip(mine, his, strict=True)
    )


@pytest.mark.parametrize("case", CASES)
def test_memory_and_tokens_are_equal(
    case: str, decoder: Decoder, passages: Path, tmp_path: Path, record_property: Any
) -> None:
    made = export(CASES[case], passages, tmp_path, decoder)
    compressor = load_code(made.folder).Compressor.from_pretrained(made.folder, decoder.model)
    memory = compressor.compress(made.ids)
    assert memory.source_tokens == made.memory.source_tokens
    assert memory.next_position == made.memory.next_position
    assert memory.position_ids.tolist() == made.memory.position_ids.tolist()
    assert memory.segments.tolist() == made.memory.segments.tolist()
    assert int(memory.segments[-1]) > 0  # several segments
    difference = largest_difference(memory, made.memory)
    record_property("largest_difference", difference)
    assert difference < TOLERANCE
    generated = compressor.generate(memory, decoder.encode(PROMPT), max_new_tokens=TOKENS)
    assert len(generated) == made.answer["tokens"] > 0
    assert decoder.decode(generated) == made.answer["text"]


def changed(folder: Path, changes: dict[str, Any]) -> None:
    file = folder / "compressor.json"
    settings = json.loads(file.read_text())
    for path, value in changes.items():
        *parents, last = path.split(".")
        inner = settings
        for key in parents:
            inner = inner[key]
        assert inner[last] != value
        inner[last] = value
    file.write_text(json.dumps(settings))


@pytest.mark.parametrize(
    ("settings", "changes"),
    [
        ("method=pic form=published chunk=8", {"mask.memory_to_memory": "own_group"}),
        ("method=pic form=published chunk=8", {"mask.memory_sees_prefix": False}),
        ("method=pic form=published chunk=8", {"mask.memory_to_text": "up_to"}),
        ("method=pic form=published chunk=8", {"mask.text_scope": "chunk"}),
        ("method=pic form=published chunk=8 mask.text_scope=chunk", {"mask.text_sees_earlier_memory": True}),
        ("method=pic form=published chunk=8", {"layout": "interleave"}),
        ("method=pic form=published chunk=8", {"positions": "epl"}),
        ("method=pic form=published chunk=8", {"encoder_bos": False}),
        ("method=sac", {"sac.attention": "anchors"}),
        ("method=sac sac.attention=causal", {"sac.attention": "anchors"}),
        ("method=comprexit", {"comprexit.locality": 0.5}),
    ],
    ids=str,
)
def test_another_setting_is_noticed(
    settings: str, changes: dict[str, Any], decoder: Decoder, passages: Path, tmp_path: Path
) -> None:
    """The comparison above is worth something: one wrong setting differs by much more than the tolerance."""
    made = export(settings, passages, tmp_path, decoder)
    changed(made.folder, changes)
    memory = load_code(made.folder).Compressor.from_pretrained(made.folder, decoder.model).compress(made.ids)
    assert largest_difference(memory, made.memory) > 10 * TOLERANCE


def test_folder(decoder: Decoder, passages: Path, tmp_path: Path) -> None:
    """What a folder has: no path of this machine, and an adapter that peft loads as compress.py does."""
    made = export("method=icae memory_markers=true", passages, tmp_path, decoder)
    names = ["README.md", "adapter_config.json", "adapter_model.safetensors", "compress.py", "compressor.json"]
    assert sorted(file.name for file in made.folder.iterdir()) == sorted([*names, "compressor.safetensors"])
    source = ROOT / "python" / "export" / "compress.py"
    assert (made.folder / "compress.py").read_bytes() == source.read_bytes()
    card = (made.folder / "README.md").read_text()
    for part in ('base_model: "small-decoder"', "- icae", "data.jsonl", "run.dir=run", "| seed | 1 |"):
        assert part in card
    for file in ("README.md", "adapter_config.json", "compressor.json"):
        assert str(tmp_path) not in (made.folder / file).read_text()
        assert str(ROOT) not in (made.folder / file).read_text()
    tensors = load_file(made.folder / "compressor.safetensors")
    assert set(tensors) == {"memory_rows", "ae_row", "mem_begin_row", "mem_end_row"}

    peft = pytest.importorskip("peft")
    from transformers import AutoModelForCausalLM

    compressor = load_code(made.folder).Compressor.from_pretrained(made.folder, decoder.model)
    base = AutoModelForCausalLM.from_pretrained(MODEL, dtype=torch.float32)
    adapted = peft.PeftModel.from_pretrained(base, made.folder).eval()
    ids = torch.tensor([made.ids[:32]])
    with torch.no_grad(), compressor.adapted():
        ours = decoder.model(ids).logits
    with torch.no_grad():
        theirs = adapted(ids).logits
        plain = decoder.model(ids).logits
    assert float((ours - theirs).abs().max()) < TOLERANCE
    assert float((plain - theirs).abs().max()) > 100 * TOLERANCE


def test_several_ratios(decoder: Decoder, passages: Path, tmp_path: Path) -> None:
    made = export("method=pic ratio=[8,4]", passages, tmp_path, decoder)
    code = load_code(made.folder)
    eight = code.Compressor.from_pretrained(made.folder, decoder.model).compress(made.ids)
    assert largest_difference(eight, made.memory) < TOLERANCE
    four = tmp_path / "four.safetensors"
    call(
        PRECIS,
        *f"compress --compressor {tmp_path}/run --threads 1 --ratio 4 --text {tmp_path}/text.txt --out {four}".split(),
    )
    ours = code.Compressor.from_pretrained(made.folder, decoder.model, ratio=4).compress(made.ids)
    assert largest_difference(ours, precis_memory.read_memory(four)) < TOLERANCE
    with pytest.raises(ValueError, match=r"ratios \[8, 4\]"):
        code.Compressor.from_pretrained(made.folder, decoder.model, ratio=2)


def test_texts_and_questions(decoder: Decoder, passages: Path, tmp_path: Path) -> None:
    """A tokenizer's texts: BOS of SAC's context, the run's templates, the end of an answer."""
    made = export("method=sac", passages, tmp_path, decoder)

    class Tokenizer:
        def encode(self, text: str, add_special_tokens: bool) -> list[int]:
            assert not add_special_tokens
            return decoder.encode(text)

        def decode(self, ids: list[int]) -> str:
            return decoder.decode(ids)

    compressor = load_code(made.folder).Compressor.from_pretrained(made.folder, decoder.model, Tokenizer())
    memory = compressor.compress((tmp_path / "text.txt").read_text())
    assert memory.source_tokens == len(made.ids) + 1
    assert largest_difference(memory, made.memory) < TOLERANCE
    line = call(
        PRECIS,
        *f"generate --compressor {tmp_path}/run --threads 1 --memory {tmp_path}/memory.safetensors".split(),
        *f"--question Who? --max-new-tokens {TOKENS} --json".split(),
    )
    assert compressor.answer(memory, "Who?", max_new_tokens=TOKENS) == json.loads(line)["text"]
    with pytest.raises(ValueError, match="empty text"):
        compressor.compress([])
    with pytest.raises(ValueError, match="positions"):
        compressor.compress([5] * 2000)


def test_another_model_is_refused(decoder: Decoder, passages: Path, tmp_path: Path) -> None:
    made = export("method=sac", passages, tmp_path, decoder)
    changed(made.folder, {"base_model.layers": 5})
    with pytest.raises(ValueError, match="another base model"):
        load_code(made.folder).Compressor.from_pretrained(made.folder, decoder.model)


def test_refusals(passages: Path, tmp_path: Path) -> None:
    """By name, and without a folder left behind."""
    for i, (settings, expected) in enumerate(
        (("method=beacon", "beacon"), ("method=sac sac.anchor_selection=random", "random anchors"))
    ):
        make_run(settings, passages, tmp_path / str(i))
        with pytest.raises(RuntimeError, match=expected):
            call(PRECIS, *f"export {tmp_path}/{i} --to transformers --out {tmp_path}/out".split())
        assert not any(entry.name.startswith(("out", ".out")) for entry in tmp_path.iterdir())
    shutil.copytree(tmp_path / "0", tmp_path / "out")
    with pytest.raises(RuntimeError, match="already exists"):
        call(PRECIS, *f"export {tmp_path}/0 --to transformers --out {tmp_path}/out".split())

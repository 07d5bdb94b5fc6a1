"""Tokens equal to those of precis, greedy, for every method. See compare_with_precis.py.

PRECIS names the program; default: build/release/bin/precis beside this package.
"""

import os
from pathlib import Path

import pytest
from compare_with_precis import CASES, PROMPTS, Decoder, call, compare, open_decoder
from conftest import DATA, ROOT

from precis_memory import base_model, new_memory, read_memory, write_memory

PRECIS = os.environ.get("PRECIS", str(ROOT / "build" / "release" / "bin" / "precis"))
MODELS = {
    "small-decoder": ROOT / "assets" / "small-decoder",
    "SmolLM2": ROOT / "models" / "SmolLM2-135M-Instruct.Q4_1.gguf",
}
pytestmark = pytest.mark.skipif(
    not Path(PRECIS).exists(), reason=f"no precis program at {PRECIS}: build it or set PRECIS"
)


@pytest.fixture(scope="module", params=MODELS)
def model(request: pytest.FixtureRequest) -> tuple[Path, Decoder]:
    path = MODELS[request.param]
    if not path.exists():
        pytest.skip(f"no {request.param} at {path}")
    for package in ("transformers", *(["gguf", "accelerate"] if path.suffix == ".gguf" else ["sentencepiece"])):
        pytest.importorskip(package)
    return path, open_decoder(PRECIS, path)


@pytest.mark.parametrize("case", CASES)
def test_tokens_are_equal(case: str, model: tuple[Path, Decoder], tmp_path: Path) -> None:
    path, decoder = model
    try:
        outcome = compare(PRECIS, path, decoder, CASES[case], tmp_path / "case", tokens=64, steps=3)
    except RuntimeError as error:
        if "unknown method" not in str(error):
            raise
        pytest.skip(str(error))
    assert outcome.equal == len(PROMPTS) and outcome.tokens > 0


def test_precis_reads_what_python_writes(tmp_path: Path) -> None:
    """A rewritten file, and the file of a method that precis does not know."""
    again, own = tmp_path / "again.safetensors", tmp_path / "own.safetensors"
    memory = read_memory(DATA / "sac-kv-bfloat16.safetensors")
    write_memory(again, memory)
    base = base_model(MODELS["small-decoder"])
    common = {"method": "own", "ratio": 2, "base": base, "compressor_hash": "own 1"}
    write_memory(
        own, new_memory(**common, source_ids=range(4), layers=[(k.float(), v.float()) for k, v in memory.layers])
    )
    for path, method in ((again, '"sac"'), (own, '"own"')):
        assert method in call(PRECIS, "inspect", str(path), "--json")

"""Memories and files that several tests share."""

from pathlib import Path

import pytest
import torch

import precis_memory
from precis_memory import BaseModel, Memory

DATA = Path(__file__).parent / "data"
ROOT = Path(__file__).parent.parent.parent
BASE = BaseModel("f" * 32, "a" * 32)


@pytest.fixture
def rows_memory() -> Memory:
    """Four rows of width 6 in two segments, behind BOS."""
    return precis_memory.new_memory(
        method="pic",
        ratio=4,
        base=BASE,
        compressor_hash="c" * 32,
        source_ids=range(16),
        rows=torch.arange(24.0).reshape(4, 6),
        positions_before=1,
        segments=torch.tensor([0, 0, 1, 1]),
    )


@pytest.fixture
def kv_memory() -> Memory:
    """Two layers, two heads, three entries, width 4, at positions of the text."""
    generator = torch.Generator().manual_seed(1)

    def draw() -> torch.Tensor:
        return torch.randn(2, 3, 4, generator=generator).bfloat16()

    return precis_memory.new_memory(
        method="sac",
        ratio=4,
        base=BASE,
        compressor_hash="c" * 32,
        source_ids=range(10),
        layers=[(draw(), draw()) for _ in range(2)],
        positions="source",
        position_ids=torch.tensor([2, 6, 9]),
    )

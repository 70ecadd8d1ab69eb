"""The work of a pass as `benchmarks/roofline.py` counts it, against what the architecture says on paper."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from page4d.model import PAGE4DConfig
from page4d.model.memory import ForwardPass

BENCHMARKS = Path(__file__).parent.parent / "benchmarks"
# As wide as the full network, but shallow, so that the count takes seconds.
WIDE = PAGE4DConfig(
    depth=4, patch_embed="conv", mask_source=1, masked_pairs=(2,), dpt_pairs=(0, 1, 2, 3), enable_track=False
)  # fmt: skip
FRAMES = 3


@pytest.fixture
def roofline(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    import memory
    import roofline

    monkeypatch.setattr(memory, "FULL", WIDE)
    monkeypatch.setattr(roofline, "FULL", WIDE)
    yield roofline
    for name in ("roofline", "precision", "memory", "stored"):
        sys.modules.pop(name, None)


def test_the_counted_work_is_that_of_the_architecture(roofline: Any) -> None:
    work = roofline.counted(roofline.Pass(FRAMES))
    width, pairs = WIDE.embed_dim, WIDE.depth
    frame = ForwardPass(WIDE, 1, roofline.HEIGHT, roofline.WIDTH).tokens
    tokens = FRAMES * frame
    assert work[roofline.GLOBAL]["tflop"] == pytest.approx(4e-12 * tokens**2 * width * pairs, rel=1e-3)
    # The camera head's trunk attends over frames, a handful of tokens.
    assert work[roofline.FRAME]["tflop"] == pytest.approx(4e-12 * FRAMES * frame**2 * width * pairs, rel=0.01)
    blocks = 2 * 12e-12 * width**2 * tokens * 2 * pairs
    assert blocks < work[roofline.PRODUCTS]["tflop"] < 1.1 * blocks
    assert work[roofline.REST]["tflop"] == 0
    assert min(kind["gb"] for kind in work.values()) > 0


def test_what_only_looks_at_memory_moves_nothing(roofline: Any) -> None:
    work = roofline.CountedWork(1)
    x = torch.ones(4, 8)
    with work:
        x.view(8, 4).transpose(0, 1)[1:].unflatten(1, (2, 4))
    assert not work.kinds
    with work:
        x + 1
    assert work.kinds[roofline.REST].moved_bytes == 2 * 4 * 8 * 4


def test_the_stored_count_is_of_the_full_network() -> None:
    stored = json.loads((BENCHMARKS / "results" / "roofline.json").read_text(encoding="utf-8"))["counted_bf16"]
    full = PAGE4DConfig(enable_track=False)
    width, height = stored["clip_px"]
    tokens = ForwardPass(full, 200, height, width).tokens
    expected = 4e-12 * tokens**2 * full.embed_dim * full.depth
    assert stored["200"]["attention over all frames"]["tflop"] == pytest.approx(expected, rel=1e-3)

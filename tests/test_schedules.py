"""Learning-rate schedules against the golden rows, and the ramps of curriculum and aid."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from page4d.model.mask import mask_alpha
from page4d.schema import UserError
from page4d.train.schedules import Piece, Schedule, ramp, stairs, warmup_cosine
from page4d.train.settings import RateConfig

GOLDEN = Path(__file__).parent / "golden"


def test_lr_schedule_equals_golden() -> None:
    mask_head = RateConfig(peak=2e-5, floor=1e-8, warmup=0.15).schedule()
    blocks = RateConfig(peak=1e-5, floor=1e-8, warmup=0.05).schedule()
    rows = json.loads((GOLDEN / "lr_schedule.json").read_text())["rows"]
    assert len(rows) > 10
    for where, lr_mask_head, lr_blocks in rows:
        assert mask_head(where) == pytest.approx(lr_mask_head, rel=1e-9)
        assert blocks(where) == pytest.approx(lr_blocks, rel=1e-9)


def test_mask_alpha_equals_golden() -> None:
    rows = json.loads((GOLDEN / "mask_alpha.json").read_text())["rows"]
    for step, start, end, alpha in rows:
        assert mask_alpha(step, start, end) == pytest.approx(alpha, abs=1e-12)


def test_pieces_of_ones_own() -> None:
    schedule = Schedule((Piece("constant", 1.0, 1.0, 0.5), Piece("linear", 1.0, 0.0, 0.5)))
    assert [schedule(w) for w in (0.0, 0.25, 0.75, 1.0)] == pytest.approx([1.0, 1.0, 0.5, 0.0])


def test_no_warmup_starts_at_the_peak() -> None:
    assert warmup_cosine(1.0, 0.0, 0.0)(0.0) == 1.0
    assert warmup_cosine(1.0, 0.0, 0.0)(0.5) == pytest.approx(0.5)


def test_wrong_pieces() -> None:
    with pytest.raises(UserError, match=r"sum to 0\.5"):
        Schedule((Piece("linear", 0, 1, 0.5),))
    with pytest.raises(UserError, match="'step'"):
        Piece("step", 0, 1, 1)  # type: ignore[arg-type]
    with pytest.raises(UserError, match="negative"):
        Piece("linear", 0, 1, -1)


def test_ramp_and_stairs() -> None:
    points = ((10, 0.0), (20, 1.0))
    assert [ramp(s, points) for s in (0, 10, 15, 20, 99)] == [0.0, 0.0, 0.5, 1.0, 1.0]
    assert [stairs(s, ((0, 2), (10, 4))) for s in (0, 9, 10, 50)] == [2, 2, 4, 4]
    with pytest.raises(UserError, match="increase"):
        ramp(15, ((10, 0.0), (10, 1.0), (5, 2.0), (30, 1.0)))
    for empty in (ramp, stairs):
        with pytest.raises(UserError, match="at least one"):
            empty(0, ())

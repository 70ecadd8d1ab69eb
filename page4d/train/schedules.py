"""Learning-rate schedules over `done_share`, the share of the run that is done.

Rates are set in `train/settings.py` (`RateConfig`), the paper's in `conf/optim/paper.yaml`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

from page4d.schema import UserError
from page4d.settings import check_values

# Boundaries belong to the next piece within this tolerance, so that rounding in `done_share` cannot decide.
BOUNDARY = 1e-6


@dataclass(frozen=True)
class Piece:
    """A stretch of a schedule: from `start` to `end` over `length`, a share of the run."""

    kind: Literal["linear", "cosine", "constant"]
    start: float
    end: float
    length: float

    def __post_init__(self) -> None:
        check_values(self, "schedule piece: ")
        if self.length < 0:
            raise UserError(f"schedule piece {self.kind}: length {self.length} is negative")

    def value(self, u: float) -> float:
        """The value after the share u of this piece."""
        if self.kind == "constant":
            return self.start
        if self.kind == "linear":
            return self.start + (self.end - self.start) * u
        return self.end + 0.5 * (self.start - self.end) * (1 + math.cos(math.pi * u))


@dataclass(frozen=True)
class Schedule:
    """Pieces one after the other, each stretched over its own length; the lengths sum to 1.

    Source:  the same values as fvcore's CompositeParamScheduler with "rescaled" intervals.
    """

    pieces: tuple[Piece, ...]

    def __post_init__(self) -> None:
        total = sum(piece.length for piece in self.pieces)
        if abs(total - 1) > 1e-6:
            raise UserError(f"the lengths of a schedule's pieces sum to {total:g}, expected 1")

    def __call__(self, done_share: float) -> float:
        """The value at `done_share` in [0, 1]."""
        start = 0.0
        for piece in self.pieces[:-1]:
            if done_share + BOUNDARY <= start + piece.length:
                return piece.value((done_share - start) / piece.length)
            start += piece.length
        last = self.pieces[-1]
        return last.value((done_share - start) / last.length if last.length > 0 else 1.0)


def warmup_cosine(peak: float, floor: float, warmup: float) -> Schedule:
    """Linear from `floor` to `peak` over the share `warmup`, then a half cosine back to `floor`."""
    if warmup <= 0:
        return Schedule((Piece("cosine", peak, floor, 1.0),))
    return Schedule((Piece("linear", floor, peak, warmup), Piece("cosine", peak, floor, 1.0 - warmup)))


def ramp(step: float, points: Sequence[tuple[float, float]]) -> float:
    """Linear interpolation between (step or share of the run, value) points, constant outside them."""
    if not points:
        raise UserError("a ramp needs at least one (step, value) point")
    if step <= points[0][0]:
        return points[0][1]
    for (s0, v0), (s1, v1) in pairwise(points):
        if s1 <= s0:
            raise UserError(f"the steps of a ramp must increase, got {s0} before {s1}")
        if step < s1:
            return v0 + (v1 - v0) * (step - s0) / (s1 - s0)
    return points[-1][1]


def stairs(step: int, points: tuple[tuple[int, float], ...]) -> float:
    """The value of the last point whose step has been reached; before the first one, its value."""
    if not points:
        raise UserError("stairs need at least one (step, value) point")
    value = points[0][1]
    for at, new in points:
        if step >= at:
            value = new
    return value

"""Means, bootstrap intervals, paired differences, and what may be said of a difference in words."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from page4d.schema import UserError

RESAMPLES = 2000
SMALLEST_EFFECT = 0.02
"""Share of a score below which a difference is called none: seeds of one training differ by about as much."""
RATIOS = {f"{name}_ratio": (name, f"{name}_identity") for name in ("rotation", "ate", "translation")}
"""Scores that are a ratio of two means: of the answer's and of a camera's that stands still."""

Table = Mapping[str, NDArray[np.float64]]
Picks = NDArray[np.int64]


def table_of(rows: Sequence[Mapping[str, Any]]) -> Table:
    """The numbers of rows as columns; what is not a number in every row is left out."""
    names = [name for name, value in rows[0].items() if isinstance(value, float)]
    return {name: np.array([row[name] for row in rows], dtype=np.float64) for name in names}


def mean_of(table: Table, metric: str) -> float:
    """Mean over the sequences where a metric is defined, or the ratio of two means; NaN if defined nowhere.

    Note:    a ratio is defined nowhere where all cameras stand still, as a resample of few sequences may have it.
    """
    if metric in RATIOS:
        ours, identity = RATIOS[metric]
        base = mean_of(table, identity)
        return mean_of(table, ours) / base if base else math.nan
    values = table[metric][np.isfinite(table[metric])]
    return float(values.mean()) if len(values) else math.nan


def means(table: Table, names: Sequence[str]) -> dict[str, float]:
    """Means of the named scores and their ratios to a still camera's; what is defined nowhere is left out."""
    found = {name: mean_of(table, name) for name in names if name in table}
    defined = {name: value for name, value in found.items() if math.isfinite(value)}
    for ratio, (_, identity) in RATIOS.items():
        if defined.get(identity, 0.0) > 0:
            defined[ratio] = mean_of(table, ratio)
    return defined


def bootstrap(statistic: Callable[[Picks], float], n: int, seed: int = 0) -> tuple[float, float]:
    """95 % percentile interval of a statistic of resampled sequence numbers.

    Source:  Efron & Tibshirani, "An Introduction to the Bootstrap" (1993), chapter 13.
    """
    generator = np.random.default_rng(seed)
    values = [statistic(generator.integers(0, n, n)) for _ in range(RESAMPLES)]
    low, high = np.nanquantile(values, (0.025, 0.975))
    return float(low), float(high)


def interval(table: Table, metric: str) -> tuple[float, float]:
    """95 % bootstrap interval over sequences of `mean_of`."""
    return bootstrap(lambda picks: _picked_mean(table, metric, picks), _count(table))


def interval_of_means(rows: NDArray[np.floating[Any]]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """95 % bootstrap interval of each column's mean: rows (N, L) -> lower and upper bounds (L,)."""
    values = np.asarray(rows, np.float64)
    picks = np.random.default_rng(0).integers(0, len(values), (RESAMPLES, len(values)))
    low, high = np.quantile(values[picks].mean(1), (0.025, 0.975), axis=0)
    return low, high


def difference(ours: Table, other: Table, metric: str) -> tuple[float, float, float]:
    """Change of a metric from `other` to `ours` on the same sequences: value and 95 % interval, paired.

    Raises:  UserError if the two evaluations have different numbers of sequences.
    """
    n = _paired_count(ours, other)

    def change(picks: Picks) -> float:
        return _picked_mean(ours, metric, picks) - _picked_mean(other, metric, picks)

    return change(np.arange(n)), *bootstrap(change, n)


@dataclass(frozen=True)
class Effect:
    """A relative change on the same sequences, with its 95 % interval; positive = better, whatever the score."""

    change: float
    low: float
    high: float
    smallest: float = SMALLEST_EFFECT

    @property
    def verdict(self) -> Literal["better", "worse", "none", "undecided"]:
        """none: smaller than what counts; undecided: large, but the interval holds zero."""
        if abs(self.change) < self.smallest:
            return "none"
        if self.low <= 0 <= self.high:
            return "undecided"
        return "better" if self.change > 0 else "worse"

    def __str__(self) -> str:
        sign = -1 if self.verdict == "worse" else 1
        low, high = sorted((sign * self.low, sign * self.high))
        between = f"interval {100 * low:.0f} to {100 * high:.0f} %"
        if self.verdict in ("better", "worse"):
            return f"{self.verdict} by {abs(100 * self.change):.0f} %, {between}"
        if self.verdict == "none":
            return f"no difference (below {100 * self.smallest:.0f} %), {between}"
        side = "better" if self.change > 0 else "worse"
        return f"undecided: {abs(100 * self.change):.0f} % {side}, {between}"


def effect(
    ours: Table,
    other: Table,
    metric: str,
    better: Literal["lower", "higher"] = "lower",
    smallest: float = SMALLEST_EFFECT,
) -> Effect:
    """How much better `ours` is than `other` in a metric, as a share of the other's, paired over sequences.

    Raises:  UserError if the two evaluations have different numbers of sequences.
    """
    n = _paired_count(ours, other)
    sign = -1 if better == "lower" else 1

    def gain(picks: Picks) -> float:
        before = _picked_mean(other, metric, picks)
        return sign * (_picked_mean(ours, metric, picks) - before) / before

    low, high = bootstrap(gain, n)
    return Effect(gain(np.arange(n)), low, high, smallest)


def _count(table: Table) -> int:
    return len(next(iter(table.values())))


def _paired_count(ours: Table, other: Table) -> int:
    n, m = _count(ours), _count(other)
    if n != m:
        raise UserError(f"cannot pair {n} sequences with {m}; evaluate both on the same ones")
    return n


def _picked_mean(table: Table, metric: str, picks: Picks) -> float:
    names = RATIOS.get(metric, (metric,))
    return mean_of({name: table[name][picks] for name in names}, metric)
